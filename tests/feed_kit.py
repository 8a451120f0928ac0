"""The config of a build from a simulated log, shared by tests of what builds make of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankdistill.document import read_document
from rankdistill.settings import Settings, settings_of


def feed(log: str | Path, out: str | Path, **more: Any) -> Settings:
    """log: the folder `log` that `simulate` wrote; more: further blocks of the config."""
    return settings_of(read_document(json.dumps(feed_config(log, out, **more)), "test.yaml"))


def feed_config(log: str | Path, out: str | Path, **more: Any) -> dict[str, Any]:
    """The same as it stands in a file."""
    return {
        "output": str(out),
        "log": {
            "path": str(log),
            "columns": {"feedback": ["click"]},
            "stage": {"from": "column", "column": "stage"},
        },
        **more,
    }
