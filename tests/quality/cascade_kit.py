"""Real ratings as a log of a cascade, and the data set built of it: what the measures that look
across requests and days are held against oracles on."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rankdistill.store.dataset import DataSet
from tests.quality.measured import built
from tests.quality.real_kit import RATINGS

DAYS = [f"{day:%Y-%m-%d}" for day in pd.date_range("1998-03-28", "1998-04-06")]  # all have ratings
LENGTH, SHOWN, AHEAD = 20, 5, 3
MAPPED = {
    "columns": {"feedback": ["click"], "request": ["scene"]},
    "stage": {"from": "column", "column": "stage"},
}


@cache
def cascade() -> pd.DataFrame:
    """A request for every twenty ratings of a user's day, at the time of the first of them.

    Ranked by rating, then by the item's mean: what has three stars or more, the first five of it
    shown, four stars are a click. Two stars were dropped by the pre-ranker, one star and the
    first items of the user's next request by the recall. scene: the user's gender.
    """
    rated = pd.read_csv(RATINGS / "ml-100k.inter", sep="\t")
    rated.columns = ["user_id", "item_id", "rating", "time"]
    rated["score"] = rated.rating + rated.groupby("item_id").rating.transform("mean") / 10
    rated["time"] = pd.to_datetime(rated.time, unit="s", utc=True)
    rated["day"] = rated.time.dt.strftime("%Y-%m-%d")
    rated = rated[rated.day.isin(DAYS)].sort_values(["user_id", "time", "item_id"])
    page = rated.groupby(["user_id", "day"]).cumcount() // LENGTH
    rated["request_id"] = rated.groupby(["user_id", "day", page]).ngroup()
    log = pd.concat([rated, _ahead(rated)])
    log["request_time"] = log.groupby("request_id").time.transform("min")
    log["teacher_score"] = log.score.where(log.rating >= 3)
    log = log.sort_values(["request_id", "teacher_score", "item_id"], ascending=[True, False, True])
    log["rank"] = (log.groupby("request_id").cumcount() + 1).where(log.rating >= 3)
    is_shown = log["rank"] <= SHOWN
    log["position"] = log["rank"].where(is_shown)
    log["click"] = (log.rating >= 4).astype(float).where(is_shown)
    reached = [is_shown, log["rank"].notna(), log.rating == 2]
    log["stage"] = np.select(reached, ["exposed", "ranked", "preranked"], "recalled")
    users = pd.read_csv(RATINGS / "ml-100k.user", sep="\t").set_index("user_id:token")
    log["scene"] = log.user_id.map(users["gender:token"])
    return log.drop(columns=["rating", "score", "time"]).astype({"rank": "Int32"})


def _ahead(rated: pd.DataFrame) -> pd.DataFrame:
    """The first items of each user's next request, as candidates of the one before it."""
    requests = rated.groupby("request_id")[["user_id", "time", "day"]].first()
    first = rated[rated.groupby("request_id").cumcount() < AHEAD]
    before = requests.reindex(first.request_id - 1).reset_index()
    found = first.assign(
        rating=1, **{n: before[n].to_numpy() for n in ("request_id", "time", "day")}
    )
    return found[(before.user_id == first.user_id.to_numpy()).to_numpy()]


def built_cascade(folder: Path, log: pd.DataFrame, /, **settings: Any) -> DataSet:
    place = {"path": str(folder / "log.parquet"), **MAPPED}
    return built(folder, log.drop(columns="day"), log=place, **settings)
