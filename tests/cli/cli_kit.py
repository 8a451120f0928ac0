"""A tiny simulated log, its config, and the verbs run in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from rankdistill import cli

ROOT = Path(__file__).parents[2]
REQUEST = "2026110100000003"
SIZES = {"num_requests": 40, "num_candidates": 12, "num_ranked": 8, "num_exposed": 3, "days": 2}
CONFIG = """\
output: feed
log:
  path: sim/log
  columns: {feedback: [click]}
  stage: {from: column, column: stage}
samples:
  pointwise: {top_k: 3}
  pairwise: {top_k: 3}
  listwise: {max_length: 5}
"""


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == code, (arguments, result.stdout, result.stderr)
    return result


def simulate(out: str = "sim", **sizes: Any) -> None:
    run("simulate", "--out", out, *(f"--set={k}={v}" for k, v in (SIZES | sizes).items()))


def listing(folder: str) -> dict[str, tuple[int, int]]:
    found = sorted(Path(folder).rglob("*"))
    stats = {str(path): path.stat() for path in found if path.name != "run_result.json"}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}
