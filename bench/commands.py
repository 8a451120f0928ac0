"""What is measured, as commands: `{new}` stands for the place that a run writes to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent


def our_build(source: Path, config: str, *overrides: str) -> list[str]:
    """Our build of the log `source` by a config of this folder."""
    command = [sys.executable, "-m", "rankdistill", "build", "--output", "{new}"]
    command += ["--config", str(HERE / config), "--path", str(source)]
    command += ["--result", os.devnull]
    return command + [word for choice in overrides for word in ("--set", choice)]


def a_peer(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"bench.peers.{name}", *arguments, "{new}"]
