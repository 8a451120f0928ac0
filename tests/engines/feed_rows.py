"""A feed of all sample kinds under a fault: what is built, and its rows one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.settings import Settings
from rankdistill.store.content import row_hashes
from rankdistill.store.dataset import DataSet
from tests.feed_kit import feed

NEGATIVES = {"history_window": "2d"}
SAMPLES = {"pointwise": {}, "pairwise": {}, "listwise": {}, "negatives": NEGATIVES}
SIZES = {"num_candidates": 40, "num_ranked": 20, "num_exposed": 5, "num_users": 10}


def small_log(folder: Path, **sizes: Any) -> Path:
    """Two days, about 1,000 rows each."""
    options = SimulateOptions(**{"num_requests": 25, "days": 2, "num_items": 300, **SIZES, **sizes})
    return simulate(folder, options).log


# All tables that a build makes; days this small fail gates.
WHOLE = {"samples": SAMPLES, "catalogue": {"window": "2d"}, "quality": {"fail_on": "never"}}


def whole_feed(log: str | Path, out: str | Path, engine: dict[str, Any], **more: Any) -> Settings:
    return feed(log, out, engine=engine, **WHOLE, **more)


def rows(out: str | Path) -> list[tuple[str, int]]:
    """(table, the row's hash) of every row of every table of the newest build."""
    data_set = DataSet.open(out)
    return sorted(
        (table, int(hashed))
        for table in data_set.newest().tables
        for batch in data_set.read(table)
        for hashed in row_hashes(batch)
    )
