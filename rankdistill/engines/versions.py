"""Versions that decide rows, here and where Spark's Python workers run.

Nothing is imported at the top but the standard library: workers that lack all else run this.
"""

from __future__ import annotations

from collections.abc import Mapping

# How many leading numbers of a version must be the same on both sides.
ALIKE = {"python": 2, "pyspark": 2, "pyarrow": 1, "numpy": 1, "rankdistill": 3}
ON_WORKERS = (
    "give the workers our zip (--py-files) and a Python like the driver's with our packages "
    "(--archives and PYSPARK_PYTHON), as docs/cluster.md has it"
)


def versions():  # type: ignore[no-untyped-def]  # its text also runs alone, in any Python 3
    """{package: version} of this process; `missing` or `broken` where it cannot be imported."""
    import importlib
    import sys

    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("pyspark", "pyarrow", "numpy", "rankdistill"):
        try:
            found[name] = str(getattr(importlib.import_module(name), "__version__", "unknown"))
        except ImportError:
            found[name] = "missing"
        except Exception:  # whatever a package for another Python raises
            found[name] = "broken"
    return found


def skew(here: Mapping[str, str], there: Mapping[str, str]) -> str | None:
    """What differs and may not, side by side; None where all is well."""
    found = [
        f"{name} {here[name]} here, {there[name]} there"
        for name, parts in ALIKE.items()
        if here[name].split(".")[:parts] != there[name].split(".")[:parts]
    ]
    return "; ".join(found) or None
