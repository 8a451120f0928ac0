"""`doctor`: what this machine has, and what is missing for which engine."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from rankdistill.engines.spark_session import check_java, of_local_workers
from rankdistill.engines.versions import ON_WORKERS, skew, versions
from rankdistill.errors import ResourceError

NEEDED = ("numpy", "pyarrow", "duckdb", "deltalake", "pydantic", "pyyaml", "typer")
OPTIONAL = {
    "pyspark": "the spark engine",
    "torch": "students: pip install 'rankdistill[train]'",
    "safetensors": "students: pip install 'rankdistill[train]'",
    "onnxruntime": "export --onnx: pip install 'rankdistill[onnx]'",
    "faiss-cpu": "export --index and mine-negatives: pip install 'rankdistill[ann]'",
}


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found; `advice` where something is to do."""

    what: str
    found: str
    advice: str = ""
    is_fault: bool = False


@dataclass(frozen=True)
class Examination:
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        return 4 if any(f.is_fault for f in self.findings) else 0

    def text(self) -> str:
        lines = []
        for finding in self.findings:
            mark = "FAIL" if finding.is_fault else "ok" if not finding.advice else "--"
            advice = f"   ({finding.advice})" if finding.advice else ""
            lines.append(f"{mark:4} {finding.what:18} {finding.found}{advice}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        return {f.what: {"found": f.found, "advice": f.advice} for f in self.findings}


def examine() -> Examination:
    """Python, packages, Java, cores, memory and disk of this machine."""
    findings = [_python()]
    findings += [_package(name) for name in NEEDED]
    findings += [_package(name, use) for name, use in OPTIONAL.items()]
    findings.append(_java())
    findings += _spark_python()
    findings.append(Finding("cores", str(len(os.sched_getaffinity(0)))))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    findings.append(Finding("memory", f"{memory:.0f} GiB"))
    free = shutil.disk_usage(".").free / 2**30
    findings.append(Finding("disk free here", f"{free:.0f} GiB"))
    return Examination(tuple(findings))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("python", version, "" if good else "3.11 to 3.13 is supported", not good)


def _package(name: str, use: str | None = None) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        advice = f"needed for {use}" if use else f"pip install {name}"
        return Finding(name, "not installed", advice, use is None)


def _java() -> Finding:
    try:
        java, major = check_java()
    except ResourceError as fault:
        return Finding("java", "not usable", f"the spark engine would say: {fault.message}")
    return Finding("java", f"{major} ({java})")


def _spark_python() -> list[Finding]:
    """What PYSPARK_PYTHON, where it is set, would give the spark engine's workers here."""
    python = os.environ.get("PYSPARK_PYTHON")
    if not python or python == sys.executable:
        return []
    # As the engine leads them; the working folder is not theirs.
    environment = {**os.environ, **of_local_workers(), "PYTHONSAFEPATH": "1"}
    program = f"{inspect.getsource(versions)}\nimport json\nprint(json.dumps(versions()))"
    try:
        done = subprocess.run(  # noqa: S603
            [python, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environment,
        )
        differs = skew(versions(), json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as fault:
        differs = f"it does not run: {fault}"
    if differs is None:
        return [Finding("PYSPARK_PYTHON", f"{python}, as this one")]
    advice = f"the spark engine would say: {differs}; {ON_WORKERS}"
    return [Finding("PYSPARK_PYTHON", python, advice)]
