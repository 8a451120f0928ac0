"""Real logs, and a small made up one, as plain frames, and data sets built of them once a session.

Frames are made by pandas from the raw files alone, under the names that `measured.built` maps;
oracles read them, never what we wrote. Tests take the builds from the fixture `real` (conftest).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rankdistill.build import build
from rankdistill.store.dataset import DataSet
from tests.log.door_kit import settings
from tests.quality.measured import built, clean_log, measures

DATA = Path(os.environ.get("RANKDISTILL_REAL_DATA", ""))
TREC, BANDIT, RATINGS = DATA / "cedr-trec-runs/wt", DATA / "open-bandit", DATA / "ml-100k"
needs_real_logs = pytest.mark.skipif(
    not all(folder.is_dir() for folder in (TREC, BANDIT, RATINGS)),
    reason="RANKDISTILL_REAL_DATA is unset or lacks one of the real logs",
)
KEY = ["request_id", "item_id"]
SHOWN = 10  # of a ranked list; what a page of results holds
TREC_DAYS = {"wt12": "2026-11-01", "wt13": "2026-11-02"}
# Nine weeks of ratings, so that the weekdays of the last two have seven before.
FIRST_RATED, LAST_RATED = pd.Timestamp("1997-11-03", tz="UTC"), pd.Timestamp("1998-01-04", tz="UTC")


def trec_run(name: str) -> pd.DataFrame:
    """A run as it stands: request_id, item_id, rank, teacher_score."""
    names = ["request_id", "q0", "item_id", "rank", "teacher_score", "tag"]
    kind = {"request_id": str}
    run = pd.read_csv(TREC / f"test.{name}.run", sep=" ", header=None, names=names, dtype=kind)
    return run.drop(columns=["q0", "tag"])


@cache
def qrels() -> pd.DataFrame:
    """The judgments: request_id, item_id, grade (-2, 0 .. 4)."""
    names, kind = ["request_id", "q0", "item_id", "grade"], {"request_id": str}
    found = pd.read_csv(TREC / "qrels", sep=" ", header=None, names=names, dtype=kind)
    return found.drop(columns="q0")


@cache
def trec() -> pd.DataFrame:
    """Both runs, a day each, a query a minute, from noon on: the first ten were shown, and those
    of them judged relevant were clicked."""
    runs = [trec_run(name).assign(teacher_version=name) for name in TREC_DAYS]
    log = pd.concat(runs, ignore_index=True).merge(qrels(), "left", ["request_id", "item_id"])
    number = log.groupby("teacher_version").request_id.transform(lambda ids: pd.factorize(ids)[0])
    noon = pd.to_datetime(log.teacher_version.map(TREC_DAYS) + "T12:00:00Z")
    is_shown = log["rank"] <= SHOWN
    return log.assign(
        user_id=log.request_id,
        request_time=noon + pd.to_timedelta(number, unit="min"),
        position=log["rank"].where(is_shown),
        click=(log.grade > 0).astype(float).where(is_shown),
    ).drop(columns="grade")


@cache
def spoiled_run() -> pd.DataFrame:
    """The run of wt13 with what goes wrong on the way: scores that are no numbers, lines that
    come twice, and lines that come again with another score."""
    run = trec_run("wt13")
    place = run.index
    run.loc[place % 97 == 5, "teacher_score"] = np.inf
    run.loc[place % 89 == 3, "teacher_score"] = np.nan
    again = run[(place % 83 == 1) & np.isfinite(run.teacher_score)]
    other = run[(place % 101 == 2) & np.isfinite(run.teacher_score)]
    return pd.concat([run, again, other.assign(teacher_score=other.teacher_score - 1)])


@cache
def bandit(policy: str) -> pd.DataFrame:
    """Single exposures of a policy ("bts", "random"): a request each, its score the propensity."""
    raw = pd.read_csv(BANDIT / policy / "men/men.csv", dtype={"click": float})
    features = raw[[f"user_feature_{i}" for i in range(4)]]
    return pd.DataFrame(
        {
            "request_id": raw.iloc[:, 0],
            "user_id": features.agg("|".join, axis=1),
            "request_time": pd.to_datetime(raw.timestamp, format="ISO8601"),
            "item_id": raw.item_id,
            "teacher_score": raw.propensity_score,
            "position": raw.position,
            "click": raw.click,
            "teacher_version": policy,
        }
    )


@cache
def bandit_pages() -> pd.DataFrame:
    """The exposures of both policies, those of a user's features in an hour as one request: an
    item and a position stand in many of them more than once."""
    log = pd.concat([bandit("bts"), bandit("random")], ignore_index=True)
    hour = log.request_time.dt.floor("h")
    page = log.teacher_version + "|" + log.user_id + "|" + hour.astype(str)
    log = log.assign(request_id=page, request_time=hour)
    # Clicked and not, and alike otherwise: which of them is used is nobody's to know.
    alike = log.groupby(["request_id", "item_id", "teacher_score", "position"]).click
    return log[alike.transform("nunique") == 1]


@cache
def ratings() -> pd.DataFrame:
    """What a user rated on a day as one request: by rating, then item, is the teacher's order;
    the first ten in time were shown, and those rated 4 or better clicked."""
    raw = pd.read_csv(RATINGS / "ml-100k.inter", sep="\t")
    raw.columns = ["user_id", "item_id", "teacher_score", "rated"]
    raw["rated"] = pd.to_datetime(raw.rated, unit="s", utc=True)
    day = raw.rated.dt.floor("D")
    log = raw[(day >= FIRST_RATED) & (day <= LAST_RATED)]
    log = log.assign(
        request_id=log.user_id.astype(str) + "-" + log.rated.dt.strftime("%Y%m%d"),
        teacher_version="ratings",
    )
    log = log.sort_values(["request_id", "rated", "item_id"])
    by_request = log.groupby("request_id")
    place = by_request.cumcount() + 1
    log = log.assign(
        request_time=by_request.rated.transform("min"),
        position=place.where(place <= SHOWN).astype(float),
        click=(log.teacher_score >= 4).astype(float).where(place <= SHOWN),
    )
    log = log.sort_values(["request_id", "teacher_score", "item_id"], ascending=[True, False, True])
    return log.assign(rank=log.groupby("request_id").cumcount() + 1).drop(columns="rated")


@cache
def last_ratings() -> pd.DataFrame:
    """Those of the last two weeks."""
    log = ratings()
    return log[log.request_time > LAST_RATED - pd.Timedelta("13d")]


@cache
def made_up() -> pd.DataFrame:
    """Nine small days with lists of any length, gaps and repeats of ranks, rows that come twice,
    missing scores; on the last two hours are missing, and on the last another teacher scores."""
    random, log = np.random.default_rng(11), clean_log(seed=11, days=9, per_day=40, length=30)
    log = log[log["rank"] <= log.request_id.map(dict(enumerate(random.integers(1, 31, 360))))]
    log = log[random.random(len(log)) > 0.003].reset_index(drop=True)
    early, day = log.request_time.dt.hour.isin([3, 4]), log.request_time.dt.day
    log = log[~(early & (day >= 8))].reset_index(drop=True)
    second = (log.request_time.dt.day == 9) & (log.request_id % 3 == 0)
    log.loc[second, "teacher_version"] = "v2"
    log.loc[second, "teacher_score"] += 2.0
    log.loc[random.choice(len(log), 20, replace=False), "rank"] += 1
    log.loc[random.choice(len(log), 7, replace=False), "teacher_score"] = np.nan
    again, other = log.iloc[5::401], log.iloc[9::501]
    return pd.concat([log, again, other.assign(teacher_score=other.teacher_score - 1)])


def candidates(log: pd.DataFrame) -> pd.DataFrame:
    """One row of each candidate, in the log's order: of rows that say one twice, that of the best
    score, then of the first position. Rows of a score that is no number are none."""
    sound = log[np.isfinite(log.teacher_score)]
    order = [name for name in ("teacher_score", "position") if name in log]
    best = sound.sort_values(order, ascending=[name == "position" for name in order])
    return best.drop_duplicates(KEY).sort_index(kind="stable")


def of_logs(*names: str) -> pytest.MarkDecorator:
    """The test for each of these builds; of a real log, where there is one."""
    params = [pytest.param(n, marks=() if n == "made_up" else needs_real_logs) for n in names]
    return pytest.mark.parametrize("name", params)


@dataclass(frozen=True)
class Real:
    """A real log and what was built of it. log: one row per candidate, from the raw files."""

    log: pd.DataFrame
    data_set: DataSet

    @cached_property
    def measures(self) -> dict[str, dict[str, Any]]:
        """Q01 ... of its metrics.json."""
        return measures(self.data_set)


KINDS: dict[str, Any] = {
    "pointwise": {},
    "pairwise": {},
    "listwise": {},
    "negatives": {
        "positives": "feedback",
        "num": 8,
        "mix": {"exposed_unclicked": 0.5, "tail": 0.3, "popular": 0.2},
        "history_window": "7d",
    },
}
LISTS: dict[str, Any] = {
    "samples": KINDS,
    "student": "prerank",
    "catalogue": {"window": "7d", "own_day": True, "allow_short_history": True},
}
ONE_DAY = {"dt": {"from": "constant", "value": "2026-11-01"}}


def of_files(folder: Path, log: dict[str, Any], **more: Any) -> DataSet:
    """The data set of a raw file, read by us."""
    chosen = {"samples": {"pointwise": {}, "pairwise": {}, "listwise": {}}, **more}
    build(settings(log, folder / "out", student="prerank", **chosen))
    return DataSet.open(folder / "out")


def trec_file(folder: Path) -> Real:
    feedback = {
        "path": str(TREC / "qrels"),
        "format": "trec",
        "names": ["query", "q0", "doc", "relevance"],
        "columns": {"request_id": "query", "item_id": "doc", "feedback": ["relevance"]},
    }
    log = {"preset": "trec_run", "path": str(TREC / "test.wt12.run"), "feedback": feedback}
    frame = trec_run("wt12").merge(qrels(), "left", ["request_id", "item_id"])
    return Real(frame, of_files(folder, log))


def spoiled_file(folder: Path) -> Real:
    folder.mkdir(parents=True, exist_ok=True)
    log = spoiled_run().assign(q0="Q0", tag="run")
    columns = ["request_id", "q0", "item_id", "rank", "teacher_score", "tag"]
    log[columns].to_csv(folder / "spoiled.run", sep=" ", header=False, index=False, na_rep="nan")
    path = {"preset": "trec_run", "path": str(folder / "spoiled.run")}
    return Real(spoiled_run(), of_files(folder, path))


def bandit_file(policy: str, folder: Path) -> Real:
    log = {
        "preset": "open_bandit",
        "path": str(BANDIT / policy / "men/men.csv"),
        "columns": {"teacher_score": "propensity_score", "item": []},
        "score_kind": "probability",
        "response": {"click": 1},
    }
    return Real(bandit(policy), of_files(folder, log))


def pages(folder: Path) -> Real:
    folder.mkdir(parents=True, exist_ok=True)
    bandit_pages().to_parquet(folder / "pages.parquet")
    log = {
        "path": str(folder / "pages.parquet"),
        "columns": {"feedback": ["click"], "request": ["teacher_version"]},
        "teacher_order": "position",
        "score_kind": "probability",
        "response": {"click": 1},
    }
    return Real(bandit_pages(), of_files(folder, log))


BUILDS: dict[str, Callable[[Path], Real]] = {
    "made_up": lambda folder: Real(made_up(), built(folder, made_up(), **LISTS)),
    "trec": lambda folder: Real(trec(), built(folder, trec(), **LISTS)),
    "trec_on_one_day": lambda folder: Real(trec(), built(folder, trec(), **ONE_DAY)),
    "trec_file": trec_file,
    "spoiled_file": spoiled_file,
    "bts_file": lambda folder: bandit_file("bts", folder),
    "random_file": lambda folder: bandit_file("random", folder),
    "bandit_pages": pages,
    "ratings": lambda folder: Real(last_ratings(), built(folder, last_ratings(), **LISTS)),
    "weeks_of_ratings": lambda folder: Real(ratings(), built(folder, ratings())),
}
