"""DuckDB's databases: the one place where they are opened, so that none asks the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

# A function that DuckDB lacks would have it download an extension, and run it.
OFFLINE = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def connect(path: Path | None = None, **settings: Any) -> duckdb.DuckDBPyConnection:
    """A database in a file, or in memory."""
    return duckdb.connect(str(path or ":memory:"), config={**settings, **OFFLINE})
