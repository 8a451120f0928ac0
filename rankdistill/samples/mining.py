"""Negatives mined from a user's nearest items: candidates -> eligible -> drawn -> conformed.

The candidates come from `catalogue.nearest`, ranked from 1 among the items that the user has
not responded to. Here: which of them may be a negative of an anchor, which are drawn, and the
rows of the table `mined`. Shapes: A anchors, C candidates, E eligible pairs, T drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from rankdistill.config import Options
from rankdistill.contract import arrow_schema
from rankdistill.lists.batch import spans
from rankdistill.samples.lots import Lots, draw_uniform


class MiningOptions(Options):
    """Which of a user's nearest items are drawn as negatives, in the words of
    sentence-transformers' mine_hard_negatives.

    An anchor is a (user, positive) pair, or a user alone where there are no positives. Ranks are
    those of the search (positives and history left out before), so no rule moves another's
    bounds. A relative margin is a share of the positive's size, |score|, so that it is never
    lenient for negative scores, as `score > positive x (1 - share)` would be.
    """

    range_min: int = Field(0, ge=0, description="skip this many nearest items")
    range_max: int | None = Field(
        None, ge=1, description="look at this many; null: as many as the other options need"
    )
    min_score: float | None = Field(None, description="skip items that score less")
    max_score: float | None = Field(None, description="skip items that score more")
    absolute_margin: float | None = Field(
        None, description="skip items above the positive's score - margin"
    )
    relative_margin: float | None = Field(
        None, description="skip items above the positive's score - margin x |positive's score|"
    )
    margin_from: Literal["own", "weakest"] = Field(
        "own", description="the score of the anchor's own positive, or the user's least"
    )
    num_negatives: int = Field(3, ge=1, description="of each anchor")
    sampling_strategy: Literal["top", "random"] = Field(
        "top", description="the best by rank, or a hashed draw among the eligible"
    )

    @model_validator(mode="after")
    def _combination_works(self) -> Self:
        num = self.num_candidates - self.range_min
        if num <= 0:
            raise ValueError(
                f"range_min {self.range_min} skips all of range_max {self.range_max}; raise "
                "range_max"
            )
        if self.num_negatives > num:
            raise ValueError(
                f"num_negatives {self.num_negatives} is more than the {num} ranks that range_min "
                "and range_max leave; raise range_max"
            )
        low, high = self.min_score, self.max_score
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_score {low} is above max_score {high}: no item is left")
        if self.margin_from != "own" and not self.margins:
            raise ValueError(
                "margin_from says what a margin is measured from; set absolute_margin or "
                "relative_margin, too"
            )
        return self

    @property
    def margins(self) -> tuple[str, ...]:
        """The margins that are set."""
        names = ("absolute_margin", "relative_margin")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def num_candidates(self) -> int:
        """range_max, or its default: ten times num_negatives where some may be skipped."""
        if self.range_max is not None:
            return self.range_max
        may_skip = self.margins or self.max_score is not None or self.sampling_strategy == "random"
        return self.range_min + self.num_negatives * (10 if may_skip else 1)

    def refuse(self, *, has_positives: bool) -> list[str]:
        """Why these options cannot work on such anchors; empty where they can."""
        if has_positives or not self.margins:
            return []
        return [
            f"{' and '.join(self.margins)}: a margin is measured from the score of a positive, "
            "and without positives there is none; use max_score, or range_min"
        ]


@dataclass(frozen=True)
class Candidates:
    """The items found for U users, those of user i at offsets[i] : offsets[i + 1], by rank.

    item: int64 [C] indices; score: float64 [C]; rank: int64 [C], from 1.
    """

    offsets: np.ndarray
    item: np.ndarray
    score: np.ndarray
    rank: np.ndarray


@dataclass(frozen=True)
class Anchors:
    """A anchors, by user. user: int64 [A], into the users of the candidates; user_key: uint64
    [A]; pos_item: int64 [A] index, -1 for none; pos_key: uint64 [A], 0 for none; pos_score:
    float64 [A], NaN for none."""

    user: np.ndarray
    user_key: np.ndarray
    pos_item: np.ndarray
    pos_key: np.ndarray
    pos_score: np.ndarray

    def take(self, rows: np.ndarray | slice) -> Anchors:
        columns = (self.user, self.user_key, self.pos_item, self.pos_key, self.pos_score)
        return Anchors(*(column[rows] for column in columns))


class Looked(NamedTuple):
    """Pairs of an anchor and a candidate of its user, by anchor, then rank.

    anchor, candidate: int64; score, rank: of the candidate; positive: float64, the score that
    margins are measured from.
    """

    anchor: np.ndarray
    candidate: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    positive: np.ndarray


@dataclass(frozen=True)
class Mined:
    """T negatives, by anchor, then rank. anchor, candidate: int64; probability: float64, that of
    being drawn among the eligible."""

    anchor: np.ndarray
    candidate: np.ndarray
    probability: np.ndarray
    counts: dict[str, int]


Rule = Callable[[Looked, float], np.ndarray]
# Option -> which pairs it skips. In this order; a pair counts under the first that skips it.
RULES: dict[str, Rule] = {
    "range_min": lambda pairs, skip: pairs.rank <= skip,
    "absolute_margin": lambda pairs, gap: pairs.score > pairs.positive - gap,
    "relative_margin": lambda pairs, share: (
        pairs.score > pairs.positive - share * np.abs(pairs.positive)
    ),
    "max_score": lambda pairs, high: pairs.score > high,
    "min_score": lambda pairs, low: pairs.score < low,
}


def weakest(anchors: Anchors, num_users: int) -> np.ndarray:
    """The least pos_score of each anchor's user, float64 [A]."""
    least = np.full(num_users, np.inf)
    np.minimum.at(least, anchors.user, anchors.pos_score)
    return least[anchors.user]


def looked_at(candidates: Candidates, anchors: Anchors, positive: np.ndarray) -> Looked:
    """Every candidate of every anchor's user; positive: float64 [A], what margins start from."""
    starts = candidates.offsets[:-1][anchors.user]
    lengths = np.diff(candidates.offsets)[anchors.user]
    anchor = np.repeat(np.arange(len(anchors.user)), lengths)
    at = spans(starts, lengths)
    return Looked(anchor, at, candidates.score[at], candidates.rank[at], positive[anchor])


def eligible(pairs: Looked, options: MiningOptions) -> tuple[Looked, dict[str, int]]:
    """The pairs that no rule skips; how many each rule skipped (`skipped.<option>`)."""
    left = np.ones(len(pairs.anchor), dtype=bool)
    counts = {"looked_at": len(left)}
    for name, rule in RULES.items():
        limit = getattr(options, name)
        if limit is None or (name == "range_min" and not limit):
            continue
        skipped = left & rule(pairs, limit)
        counts[f"skipped.{name}"] = int(skipped.sum())
        left &= ~skipped
    counts["eligible"] = int(left.sum())
    return Looked(*(column[left] for column in pairs)), counts


def draw(pairs: Looked, anchors: Anchors, options: MiningOptions, seed: int) -> Mined:
    """num_negatives of each anchor's eligible pairs, fewer where there are fewer."""
    num = np.bincount(pairs.anchor, minlength=len(anchors.user))
    if options.sampling_strategy == "top":
        starts = np.cumsum(num) - num
        place = np.arange(len(pairs.anchor)) - starts[pairs.anchor]
        drawn = np.flatnonzero(place < options.num_negatives)
        share = np.ones(len(num))
    else:
        drawn = _at_random(num, anchors, options.num_negatives, seed)
        share = np.minimum(1.0, options.num_negatives / np.maximum(num, 1))
    anchor = pairs.anchor[drawn]
    counts = {
        "anchors": len(num),
        "anchors_short": int((num < options.num_negatives).sum()),
        "anchors_without": int((num == 0).sum()),
        "rows": len(drawn),
    }
    return Mined(anchor, pairs.candidate[drawn], share[anchor], counts)


def _at_random(num: np.ndarray, anchors: Anchors, num_draw: int, seed: int) -> np.ndarray:
    """Indices of pairs; the lots of an anchor are named by its user and positive alone."""
    lots = Lots(seed, 0, anchors.user_key)
    every = np.arange(len(num))
    row, index = draw_uniform(lots, "mining", every, anchors.pos_key.view(np.int64), num, num_draw)
    return (np.cumsum(num) - num)[row] + index


def mined_schema(user_type: pa.DataType, item_type: pa.DataType) -> pa.Schema:
    """The Arrow schema of `mined`."""
    return arrow_schema("mined", {"user_id": user_type, "item_id": item_type})


def conform(
    mined: Mined, candidates: Candidates, anchors: Anchors, user_id: pa.Array, item_id: pa.Array
) -> pa.RecordBatch:
    """The rows of `mined`, key (user_id, pos_item_id, item_id); user_id: of the U users, item_id:
    of the whole catalogue."""
    positive = anchors.pos_item[mined.anchor]
    score = anchors.pos_score[mined.anchor]
    has_none = positive < 0
    schema = mined_schema(user_id.type, item_id.type)
    columns = {
        "user_id": user_id.take(pa.array(anchors.user[mined.anchor])),
        "pos_item_id": item_id.take(pa.array(positive, mask=has_none)),
        "item_id": item_id.take(pa.array(candidates.item[mined.candidate])),
        "rank": pa.array(candidates.rank[mined.candidate].astype(np.int32)),
        "score": pa.array(candidates.score[mined.candidate]),
        "pos_score": pa.array(score, mask=has_none),
        "probability": pa.array(mined.probability),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
