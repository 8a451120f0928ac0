"""The options of the negatives: which sources, how many, what is kept out.

What works for which student and which log is said here; `negatives` is the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from rankdistill.catalogue.axis import Popularity, Uniform, Weighing
from rankdistill.catalogue.options import Window
from rankdistill.config import Options
from rankdistill.samples.facts import LogFacts, Student, allows_exposed
from rankdistill.samples.margins import Margin
from rankdistill.samples.options import Need
from rankdistill.samples.positives import PositiveOptions
from rankdistill.samples.sources import (
    CATALOGUE,
    LOGGED,
    MINED,
    QuantileTail,
    RanksTail,
    ShareTail,
    SourceName,
    Tail,
    in_order,
)


def _sums_to_1(mix: dict[SourceName, float]) -> dict[SourceName, float]:
    if abs(sum(mix.values()) - 1) > 1e-6:
        raise ValueError(f"the shares of a mix sum to 1; these sum to {sum(mix.values()):g}")
    return mix


Share = Annotated[float, Field(ge=0, le=1)]
# A share of 0 is allowed: such a source only fills the shortages of the others.
Mix = Annotated[dict[SourceName, Share], AfterValidator(_sums_to_1)]
DEFAULT_MIX: dict[Student, dict[SourceName, float]] = {
    # Recall searches the catalogue: half easy, half hard.
    "recall": {"popular": 0.5, "prerank_dropped": 0.25, "tail": 0.25},
    # Pre-rank only ever sees recalled items: no easy ones.
    "prerank": {"prerank_dropped": 0.5, "tail": 0.5},
}


BLIND = (
    "the log does not say who responded to what, and when, so no history guards the negatives: map "
    "user_id, request_time and a feedback column"
)


class PopularOptions(Options):
    """Drawn with probability proportional to (count + c)^alpha.

    count_of: click, another feedback, positive, exposed, ranked, ...; None = click where the
    log has it, else another feedback, else positive. c > 0 lets unseen items be drawn.
    """

    alpha: float = Field(default=0.75, ge=0, le=4)
    c: float = Field(default=1.0, ge=0)
    count_of: str | None = None

    def for_log(self, facts: LogFacts) -> Self:
        if self.count_of is not None:
            return self
        names = sorted(facts.feedback, key=lambda name: name != "click")
        return self.model_copy(update={"count_of": names[0] if names else "positive"})


class MinedOptions(Options):
    """path: the Parquet files of the table `mined`. top: the entries of the highest score of a
    request's user; random: uniform over all of them."""

    path: str | None = None
    sampling_strategy: Literal["top", "random"] = "top"


class CurriculumStep(Options):
    """The mix from an epoch on, until the next step."""

    from_epoch: int = Field(ge=1)
    mix: Mix


class NegativesOptions(PositiveOptions):
    """num: negatives per request, or per positive of the request. mix: {source: share}; None =
    by the student. allow_exposed: may an exposed item be drawn; None = by the student (recall:
    no). A request without a positive gets no negatives.

    history_window: items the user responded to so long before the request are kept out; None =
    no such guard. future_window: likewise after it, for clean evaluation sets. curriculum:
    other mixes from an epoch on, for a trainer that draws anew; a stored table is of epoch 0.
    """

    per: Literal["request", "positive"] = "request"
    num: int = Field(default=20, ge=1, le=10_000)
    mix: Mix | None = None
    popular: PopularOptions = PopularOptions()
    tail: Tail = ShareTail()
    mined: MinedOptions = MinedOptions()
    allow_exposed: bool | None = None
    history_window: Window | None = "30d"
    future_window: Window | None = None
    margin: Margin | None = None
    curriculum: tuple[CurriculumStep, ...] = ()

    @model_validator(mode="after")
    def _combination_works(self) -> Self:
        epochs = [step.from_epoch for step in self.curriculum]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"curriculum: from_epoch must ascend; found {epochs}")
        tail = self.tail
        within = isinstance(tail, RanksTail) and tail.to_rank and tail.to_rank <= self.top_k
        if within and "rank" in self.rules:
            assert isinstance(tail, RanksTail)
            raise ValueError(
                f"tail of ranks {tail.from_rank} .. {tail.to_rank} lies within top_k "
                f"({self.top_k}), whose candidates are the positives"
            )
        return self

    def for_student(self, student: Student) -> Self:
        """These options with the student's defaults filled in."""
        chosen = {
            "mix": DEFAULT_MIX[student] if self.mix is None else self.mix,
            "allow_exposed": allows_exposed(student, self.allow_exposed),
        }
        return self.model_copy(update=chosen)

    def for_log(self, facts: LogFacts) -> Self:
        """These options with what popularity counts filled in, and without a history that the
        log cannot tell, unless it was asked for."""
        chosen: dict[str, Any] = {"popular": self.popular.for_log(facts)}
        if not facts.has_history and "history_window" not in self.model_fields_set:
            chosen["history_window"] = None
        return self.model_copy(update=chosen)

    def mix_at(self, epoch: int) -> dict[str, float]:
        """{source: share} of an epoch, in the order of the sources."""
        assert self.mix is not None, "resolve with for_student first"
        steps = [step.mix for step in self.curriculum if step.from_epoch <= epoch]
        mix = steps[-1] if steps else self.mix
        return {name: mix[name] for name in in_order(mix)}  # type: ignore[index]

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source of the mix and of the curriculum, in their order."""
        assert self.mix is not None, "resolve with for_student first"
        return in_order([*self.mix, *(name for step in self.curriculum for name in step.mix)])

    @property
    def needs(self) -> frozenset[Need]:
        """What the kernel must be given beside the lists."""
        wanted: dict[Need, bool] = {
            "catalogue": bool({*self.sources} & {*CATALOGUE}),
            "history": self.history_window is not None,
            "future": self.future_window is not None,
            "mined": MINED in self.sources,
        }
        return frozenset(name for name, is_needed in wanted.items() if is_needed)

    @property
    def counts(self) -> frozenset[str]:
        chosen = self.popular.count_of
        return frozenset({chosen}) if chosen and "popular" in self.sources else frozenset()

    def refuse(self, facts: LogFacts) -> list[str]:
        """Why these options cannot work on such a log; empty where they can."""
        reasons = [*self.refuse_positives(facts), *self._refuse_scores(facts)]
        for name in self.sources:
            reasons += REFUSE[name](self, facts) if name in REFUSE else []
        if MINED in self.sources and self.mined.path is None:
            reasons.append("source mined needs mined.path: the files of mine-negatives")
        windows = {"history_window": self.history_window, "future_window": self.future_window}
        if not facts.has_history:
            reasons += [
                f"{name} needs user_id, request_time and a feedback column; set it to null"
                for name, window in windows.items()
                if window is not None
            ]
        if set(self.sources) <= self._hollow(facts):
            reasons.append(
                "the log holds exposed items only, so no source of this mix has anything to "
                f"draw ({', '.join(self.sources)}); use popular or uniform, or order pairs or "
                "lists instead of negatives"
            )
        return reasons

    def _refuse_scores(self, facts: LogFacts) -> list[str]:
        if self.margin is None or facts.has_score:
            return []
        return [f"margin {self.margin.kind} needs teacher_score; none is mapped"]

    def _hollow(self, facts: LogFacts) -> set[str]:
        """Sources that a log of exposed items only leaves empty."""
        if not facts.exposed_only:
            return set()
        return {"prerank_dropped", "recall_dropped"} if self.allow_exposed else {*LOGGED}

    def advise(self, facts: LogFacts) -> list[str]:
        """What works on such a log but may not be what is meant; the rows are built."""
        hollow = [name for name in self.sources if name in self._hollow(facts)]
        blind = [] if facts.has_history else [BLIND]
        if not hollow:
            return blind
        whom = "negatives of these sources" if self.allow_exposed else "hard negatives for recall"
        return [
            f"the log holds exposed items only, so it cannot supply {whom}: "
            f"{', '.join(hollow)} will be empty and the other sources fill in; use order pairs, "
            "lists or catalogue negatives",
            *blind,
        ]

    def most_rows(self, lengths: np.ndarray) -> np.ndarray:
        """Rows of each request at most, by its number of candidates (int64 [R]); with tied
        teacher ranks top_k may hold more positives."""
        positives = self.most_positives(lengths)
        most = self.num * (positives if self.per == "positive" else np.minimum(positives, 1))
        return np.minimum(most, lengths) if set(self.sources) <= {*LOGGED} else most


def _refuse_tail(options: NegativesOptions, facts: LogFacts) -> list[str]:
    if isinstance(options.tail, QuantileTail):
        lacks = not facts.has_score
        return ["source tail by quantile needs teacher_score; none is mapped"] if lacks else []
    return [] if facts.has_rank else ["source tail needs a teacher rank or score; none is mapped"]


def _refuse_exposed(options: NegativesOptions, facts: LogFacts) -> list[str]:
    reasons = []
    if not options.allow_exposed:
        reasons.append(
            "source exposed_unclicked draws exposed items, which misleads a recall student: such "
            "an item passed every ranker, and the user may just have taken another; leave it out "
            "of the mix, or set allow_exposed: true"
        )
    if not facts.has_exposure:
        reasons.append(
            "source exposed_unclicked needs the exposure (a stage or position); none is mapped"
        )
    if not facts.has_feedback:
        reasons.append("source exposed_unclicked needs a feedback column; none is mapped")
    return reasons


def _refuse_popular(options: NegativesOptions, facts: LogFacts) -> list[str]:
    name = options.popular.count_of
    known = [*COUNTS, *facts.feedback]
    if name is None or name in known:
        return []
    return [f"popular.count_of {name} is neither a stage nor a feedback; known are {known}"]


# The counts of every catalogue beside those of its feedback columns.
COUNTS = ("positive", "exposed", "reranked", "ranked", "preranked", "recalled")
REFUSE: dict[str, Callable[[NegativesOptions, LogFacts], list[str]]] = {
    "tail": _refuse_tail,
    "exposed_unclicked": _refuse_exposed,
    "popular": _refuse_popular,
}


def _popularity(options: NegativesOptions) -> Popularity:
    chosen = options.popular
    assert chosen.count_of is not None, "resolve with for_log first"
    return Popularity(chosen.count_of, chosen.alpha, chosen.c)


WEIGHINGS: dict[str, Callable[[NegativesOptions], Weighing]] = {
    "popular": _popularity,
    "uniform": lambda options: Uniform(),
}


def weighings(options: NegativesOptions) -> dict[str, Weighing]:
    """{source: its law, to be made} of the catalogue's sources that the options use."""
    return {name: WEIGHINGS[name](options) for name in CATALOGUE if name in options.sources}
