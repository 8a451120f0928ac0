"""The world a simulated log comes from: its options, its users, its items, its draws.

`cascade.py` sends requests through this world, `simulate.py` writes what is logged.
Whatever touches a row is a table rounded in advance or an operation that IEEE 754 rounds
exactly (+ - * / compare), so a seed gives the same rows on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from rankdistill.config import Options
from rankdistill.hashing import U64, mix, name_key
from rankdistill.lists.batch import owners

MAX_REQUESTS_PER_DAY = 10**8  # request_id = yyyymmdd and eight digits: exact as a double, too
NUM_FACTORS, NUM_KNOWN_FACTORS = 8, 4  # the pre-ranker knows the first four
NUM_CATEGORIES, NUM_CITIES, NUM_AGE_GROUPS = 24, 16, 6
SCENES = ("home", "detail", "search")
NUM_ARRANGEMENTS = 16  # of the catalogue on shelves; see World.shelves
LEVELS = 1 << 16


class SimulateOptions(Options):
    """What to simulate; every key shapes the rows or the files, none the speed alone."""

    seed: int = Field(20261121, description="any integer; the same seed gives the same rows")
    num_requests: int = Field(1000, ge=1, lt=MAX_REQUESTS_PER_DAY, description="per day")
    num_users: int = Field(2000, ge=1, le=100_000_000)
    num_items: int = Field(10_000, ge=1, le=10_000_000)
    num_candidates: int = Field(200, ge=1, description="recalled per request")
    num_ranked: int = Field(60, ge=1, description="kept by the pre-ranker for the teacher")
    num_exposed: int = Field(10, ge=1, description="shown per request")
    start_date: date = Field(date(2026, 11, 1), description="the first day (UTC)")
    days: int = Field(1, ge=1, le=3660)
    layout: Literal["rows", "lists"] = Field(
        "rows", description="one row per request and item, or one per request with lists"
    )
    keep_dropped: bool = Field(True, description="log what the pre-ranker or recall dropped, too")
    shuffle: bool = Field(False, description="rows of a day in hashed order over all its files")
    rows_per_file: int = Field(
        1_000_000, ge=1, description="candidates per file, rounded to whole requests"
    )
    id_kind: Literal["int", "string"] = "int"

    @model_validator(mode="after")
    def _funnel_narrows(self) -> SimulateOptions:
        funnel = ("num_exposed", "num_ranked", "num_candidates", "num_items")
        for narrow, wide in pairwise(funnel):
            if getattr(self, narrow) > getattr(self, wide):
                raise ValueError(
                    f"{narrow} ({getattr(self, narrow)}) exceeds {wide} ({getattr(self, wide)});"
                    f" the cascade narrows: {' <= '.join(funnel)}"
                )
        if self.start_date.year < 1970 or self.start_date.year + self.days // 365 > 8998:
            raise ValueError(f"start_date {self.start_date} leaves the years 1970 to 8999")
        return self

    @property
    def num_preranked(self) -> int:
        """Candidates that reach the pre-ranker: its time budget cuts a tenth of the recalled."""
        return max(self.num_ranked, self.num_candidates * 9 // 10)

    @property
    def num_reranked(self) -> int:
        return min(self.num_ranked, 2 * self.num_exposed)

    @property
    def num_logged(self) -> int:
        """Rows in the log per request."""
        return self.num_candidates if self.keep_dropped else self.num_ranked

    @property
    def dates(self) -> list[date]:
        return [self.start_date + timedelta(days=day) for day in range(self.days)]


@dataclass(frozen=True)
class World:
    """Users (U), items (I) and their hidden tastes (F factors); equal for all days of a seed.

    user_factors: float32 [F, U]; item_factors: float32 [F, I].
    appeal: float32 [I], what every user likes in an item; the teacher's view is off by
    `teacher_bias` float32 [I], the pre-ranker knows `popularity` float32 [I] only.
    users_by_activity: int64 [U], the most active first.
    shelves: int32 [arrangements * I]. In each arrangement every item stands on one of C
    shelves, the most popular first; one draw from each shelf recalls C items, no two alike.
    shelf_starts: int64 [C + 1] within an arrangement.
    """

    user_factors: np.ndarray
    item_factors: np.ndarray
    appeal: np.ndarray
    teacher_bias: np.ndarray
    popularity: np.ndarray
    users_by_activity: np.ndarray
    shelves: np.ndarray
    shelf_starts: np.ndarray
    hour_appeal: np.ndarray  # float32 [24, categories]
    age_group: np.ndarray  # int8 [U]
    city: np.ndarray  # int8 [U]
    category: np.ndarray  # int8 [I]
    duration: np.ndarray  # float32 [I], seconds


def make_world(options: SimulateOptions) -> World:
    """The world of `options`; of its keys, seed and the sizes of users, items, recall count."""
    seed, users, items = options.seed, np.arange(options.num_users), np.arange(options.num_items)
    age_group = (draw(seed, "age_group", users) % U64(NUM_AGE_GROUPS)).astype(np.int8)
    city = (draw(seed, "city", users) % U64(NUM_CITIES)).astype(np.int8)
    category = (draw(seed, "category", items) % U64(NUM_CATEGORIES)).astype(np.int8)
    by_popularity = np.argsort(draw(seed, "popularity", items), kind="stable")
    popularity_rank = np.empty_like(items)
    popularity_rank[by_popularity] = items
    popularity = normal_table()[LEVELS - 1 - popularity_rank * LEVELS // len(items)]
    starts = np.arange(options.num_candidates + 1) * len(items) // options.num_candidates
    return World(
        user_factors=0.8 * _factors(seed, "user_factors", users)
        + 0.5 * _factors(seed, "age_factors", np.arange(NUM_AGE_GROUPS))[:, age_group]
        + 0.3 * _factors(seed, "city_factors", np.arange(NUM_CITIES))[:, city],
        # Scaled so that the affinity of a random user and item has a spread of about one.
        item_factors=0.28 * _factors(seed, "item_factors", items)
        + 0.22 * _factors(seed, "category_factors", np.arange(NUM_CATEGORIES))[:, category],
        appeal=0.5 * normal(seed, "quality", items) + 0.3 * popularity,
        teacher_bias=0.3 * normal(seed, "teacher_bias", items),
        popularity=popularity,
        users_by_activity=np.argsort(draw(seed, "activity", users), kind="stable"),
        shelves=_shelves(seed, by_popularity, popularity_rank, starts),
        shelf_starts=starts,
        hour_appeal=0.3 * normal(seed, "hour", np.arange(24)[:, None], np.arange(NUM_CATEGORIES)),
        age_group=age_group,
        city=city,
        category=category,
        duration=(10 + draw(seed, "duration", items) % U64(290)).astype(np.float32),
    )


def draw(seed: int, purpose: str, *parts: int | np.ndarray) -> np.ndarray:
    """64 hashed bits for each element of `parts`, independent between purposes."""
    return mix(seed, _purpose_key(purpose), *parts)


def normal(seed: int, purpose: str, *parts: int | np.ndarray) -> np.ndarray:
    """A standard normal per element of `parts` (float32)."""
    return normal_table()[lane(draw(seed, purpose, *parts), 0)]


def lane(bits: np.ndarray, number: int) -> np.ndarray:
    """The 16 bits number 0 .. 3 of each draw, as an index into a table of LEVELS (int64)."""
    return ((bits >> U64(16 * number)) & U64(LEVELS - 1)).view(np.int64)


def unit(bits: np.ndarray, number: int) -> np.ndarray:
    """The lane as a uniform in (0, 1) (float32)."""
    return (lane(bits, number).astype(np.float32) + np.float32(0.5)) * np.float32(1 / LEVELS)


@cache
def normal_table() -> np.ndarray:
    """Quantiles of the standard normal at the middle of LEVELS equal steps (float32)."""
    inverse = NormalDist().inv_cdf
    # Rounded, so that the last bits of a machine's logarithm never reach a row.
    half = [round(inverse((level + 0.5) / LEVELS), 7) for level in range(LEVELS // 2)]
    return np.array(half + [-value for value in reversed(half)], dtype=np.float32)


@cache
def _purpose_key(purpose: str) -> int:
    return name_key(f"simulate.{purpose}")


def _factors(seed: int, purpose: str, ids: np.ndarray) -> np.ndarray:
    return normal(seed, purpose, np.arange(NUM_FACTORS)[:, None], ids)


def _shelves(
    seed: int, by_popularity: np.ndarray, popularity_rank: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    items = np.arange(len(popularity_rank))
    shelf = owners(starts)
    arrangements = []
    for number in range(NUM_ARRANGEMENTS):
        scattered = np.argsort(draw(seed, "shelves", number, items), kind="stable")
        keyed = np.sort((shelf << 32) | popularity_rank[scattered])
        arrangements.append(by_popularity[keyed & 0xFFFFFFFF].astype(np.int32))
    return np.concatenate(arrangements)
