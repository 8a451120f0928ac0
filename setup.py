"""Packaging. schemas/, conf/ and docs/measures/ lie outside the package and ship inside it."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = (HERE / "rankdistill/__init__.py").read_text().split('__version__ = "')[1].split('"')[0]

setup(
    name="rankdistill",
    version=VERSION,
    description="Fine-ranking logs to training samples for a light recall or pre-rank student",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=[
        *find_packages(include=["rankdistill", "rankdistill.*"]),
        "rankdistill.schemas",
        "rankdistill.conf",
        "rankdistill.docs.measures",
    ],
    package_dir={
        "rankdistill.schemas": "schemas",
        "rankdistill.conf": "conf",
        "rankdistill.docs.measures": "docs/measures",
    },
    package_data={
        "rankdistill": ["py.typed"],
        "rankdistill.schemas": ["*.json"],
        "rankdistill.conf": ["*.yaml"],
        "rankdistill.docs.measures": ["*.md"],
        "rankdistill.quality.report": ["page.css", "*.html.j2"],
    },
    install_requires=[
        "numpy>=1.26",
        "pyarrow>=18",
        "duckdb>=1.4",
        "deltalake>=1.6.6",
        "pydantic>=2.7",
        "pyyaml>=6",
        "typer>=0.12",
        "rich>=13",
        "jinja2>=3.1",
        "markdown-it-py>=3",
        "matplotlib>=3.9",
        "tzdata",
    ],
    extras_require={
        "spark": ["pyspark>=4.0,<5", "pandas>=2.2,<3"],
        "train": ["torch>=2.6", "safetensors>=0.4"],
        "track": ["tensorboard>=2.16", "mlflow-skinny>=3"],
        "ann": ["faiss-cpu>=1.8"],
        "onnx": ["onnx>=1.17", "onnxscript>=0.3", "onnxruntime>=1.20"],
        "tfrecord": ["google-crc32c>=1.5"],
        "dev": [
            "pyspark[connect]>=4.0,<5",
            "pandas>=2.2,<3",
            "pytest>=8",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "mypy",
            "types-PyYAML",
            # A peer of the benchmarks.
            "polars>=1.30",
            # The index that vectors are searched by (extra ann).
            "faiss-cpu>=1.8",
            # The trainers that exports are read back by, and the packages that those need.
            "google-crc32c>=1.5",
            "tfrecord>=1.14",
            "lightgbm>=4",
            # What measures of students are compared with.
            "pytrec-eval-terrier>=0.5",
            "scikit-learn>=1.4",
            # XGBoost without a gigabyte of GPU libraries, where there is such a wheel.
            "xgboost-cpu>=3; platform_system == 'Linux' and platform_machine == 'x86_64'",
            "xgboost>=3; platform_system != 'Linux' or platform_machine != 'x86_64'",
            "datasets>=3",
            "torch>=2.6",
            "safetensors>=0.4",
            # What exported programs are run by.
            "onnx>=1.17",
            "onnxscript>=0.3",
            "onnxruntime>=1.20",
            "wheel",
            "setuptools>=69",
        ],
    },
    entry_points={"console_scripts": ["rankdistill = rankdistill.cli:main"]},
)
