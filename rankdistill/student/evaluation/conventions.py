"""What a measure does where the literature does not agree: gains, ties, lists without an answer.

Each library has its own conventions; `like` takes one's. Knows no torch.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from rankdistill.config import Options

Library = Literal["trec_eval", "sklearn", "lightgbm", "xgboost"]
Value = Literal["skip", "zero", "one"]
LIKE: dict[str, dict[str, str]] = {
    "trec_eval": {"gain": "linear", "ties": "id", "no_relevant": "zero"},
    "sklearn": {"gain": "linear", "ties": "mean", "no_relevant": "zero"},
    "lightgbm": {"gain": "exponential", "ties": "place", "no_relevant": "one"},
    "xgboost": {"gain": "exponential", "ties": "place", "no_relevant": "one"},
}


class Conventions(Options):
    """like: those of a library; what is given beside it goes first.

    gain: of a grade, exponential (2^g - 1) or linear (g); None: as the grade rule has it.
    ties: who goes first among equal scores of a list. hash: a draw by request and place, so
    that the teacher's order, in which lists stand, flatters no student; worst: the teacher's
    last first; mean: the mean over all orders (reciprocal ranks and RBO: hash); id: the
    greater item id as text; place: the teacher's first.
    no_relevant: a list that has candidates but no relevant one is left out, or counts so much.
    empty: a list without a candidate of the kind that is measured is left out, or counts 0.
    recall_of: responses found, of all there are or of at most k.
    gauc_by: whose candidates GAUC compares: those of a request, which is what a ranker orders
    (a student of orders alone never learned to compare two requests); or those of all of a
    user's requests, as its papers have it (Zhu et al. 2017, Zhou et al. 2018).
    gauc_weight: of a request or user, by its exposed candidates or one each.
    """

    like: Library | None = None
    gain: Literal["exponential", "linear"] | None = None
    ties: Literal["hash", "worst", "mean", "id", "place"] = "hash"
    no_relevant: Value = "skip"
    empty: Literal["skip", "zero"] = "skip"
    recall_of: Literal["all", "reachable"] = "all"
    gauc_by: Literal["request", "user"] = "request"
    gauc_weight: Literal["exposed", "one"] = "exposed"

    @model_validator(mode="before")
    @classmethod
    def _as_like(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("like") not in LIKE:
            return data
        return LIKE[data["like"]] | data
