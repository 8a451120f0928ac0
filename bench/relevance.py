"""`python -m bench.relevance`: how many drawn negatives are relevant, by source and by margin.

Prints the tables of docs/negatives.md as Markdown. Rows are drawn by
rankdistill's own kernel. Intervals are percentiles over requests drawn anew with
replacement (rows of a request depend on each other), and one set of resamples serves every
figure of a log, so differences are paired. Shapes: R requests, B resamples and, first, the log.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.judged import CLICK_PROBABILITY, Judged, hidden, laws_of, simulated, trec
from rankdistill.log.days import duration
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.negatives import negatives
from rankdistill.samples.side import Side

SEED = 20261121
TOP_K, NUM_RESAMPLES = 10, 1000
NUM, ALL = 20, 5000  # draws a request; more than there are documents in a run
Options = Mapping[str, Any]

SIMULATED_MARGINS: tuple[Options, ...] = (
    *({"kind": "absolute", "gap": gap} for gap in (0.25, 0.5, 1.0, 2.0)),
    *({"kind": "relative", "share": share} for share in (0.05, 0.5, 1.0)),
    *({"kind": "quantile", "least": least} for least in (0.05, 0.2, 0.4)),
)
TREC_MARGINS: tuple[Options, ...] = (
    *({"kind": "absolute", "gap": gap} for gap in (0.25, 0.5, 1.0)),
    *({"kind": "relative", "share": share} for share in (0.05, 0.1)),
    *({"kind": "quantile", "least": least} for least in (0.05, 0.2, 0.4)),
)


def ranks(first: int, last: int | None = None) -> Options:
    """Options that draw from a band of the teacher's ranks alone."""
    return {"mix": {"tail": 1.0}, "tail": {"kind": "ranks", "from_rank": first, "to_rank": last}}


def only(source: str, **more: Any) -> Options:
    """Options that draw from one source alone."""
    return {"mix": {source: 1.0}, **more}


@dataclass(frozen=True)
class Sums:
    """Of the rows drawn, over each request, float64 [R]: all, ranked, the sum of their ranks;
    those of known relevance, and the relevant ones."""

    rows: np.ndarray
    ranked: np.ndarray
    rank: np.ndarray
    known: np.ndarray
    relevant: np.ndarray


class Log:
    """A log of known relevance, and the figures of `num` draws a request from it."""

    def __init__(self, judged: Judged, num: int) -> None:
        self.judged, self.num, lists = judged, num, judged.lists
        some = np.full(lists.num_requests, 1 / lists.num_requests)
        again = np.random.default_rng(SEED).multinomial(len(some), some, NUM_RESAMPLES)
        self._times = np.concatenate([np.ones((1, len(some))), again])
        request_id = lists.requests.column("request_id").take(pa.array(lists.request))
        self._logged = judged.relevant(request_id, lists.candidates.column("item_id"))

    def total(self, values: np.ndarray) -> np.ndarray:
        """The sum of values [R] over the log and over each resample, float64 [1 + B]."""
        return self._times @ values

    def share(self, sums: Sums) -> np.ndarray:
        """The relevant among the rows of known relevance, [1 + B]."""
        return self.total(sums.relevant) / self.total(sums.known)

    def mean_rank(self, sums: Sums) -> np.ndarray:
        """Of the rows that the teacher ranked, [1 + B]."""
        return self.total(sums.rank) / self.total(sums.ranked)

    def drawn(self, options: Options) -> Sums:
        """What the kernel draws under `options`."""
        judged, chosen = self.judged, self._resolved(options)
        before = None
        if chosen.history_window is not None:
            before = judged.history.before(judged.lists, duration(chosen.history_window))
        side = Side(judged.catalogue, laws_of(chosen, judged.catalogue, SEED), history=before)
        rows = negatives(judged.lists, chosen, SEED, side)
        relevant = self._logged[rows.item]
        other = np.flatnonzero(rows.item < 0)
        if len(other):
            ids = judged.lists.requests.column("request_id").take(pa.array(rows.request[other]))
            items = judged.catalogue.item_id.take(pa.array(rows.catalogue_item[other]))
            relevant[other] = judged.relevant(ids, items)
        rank = np.append(judged.lists.teacher_rank, 0)[rows.item]
        return self._sums(rows.request, rank, relevant)

    def _resolved(self, options: Options) -> NegativesOptions:
        plain = {"num": self.num, "top_k": TOP_K, "popular": {"count_of": "click"}}
        plain |= {"history_window": "1d"}
        return NegativesOptions.model_validate({**plain, **options}).for_student("recall")

    def positives(self) -> Sums:
        """The teacher's top, as if they had been drawn."""
        lists = self.judged.lists
        item = np.flatnonzero((lists.teacher_rank > 0) & (lists.teacher_rank <= TOP_K))
        return self._sums(lists.request[item], lists.teacher_rank[item], self._logged[item])

    def _sums(self, request: np.ndarray, rank: np.ndarray, relevant: np.ndarray) -> Sums:
        known, num = ~np.isnan(relevant), self.judged.lists.num_requests
        columns = (np.ones(len(rank)), rank > 0, rank, known, np.where(known, relevant, 0))
        return Sums(*(np.bincount(request, weights, num) for weights in columns))

    @cached_property
    def _tails(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean rank, relevant share) of the tails without a margin from rank TOP_K + 1, from
        TOP_K + 2, ...; [F, 1 + B] each."""
        last = int(self.judged.lists.teacher_rank.max())
        tails = [self.drawn(ranks(first)) for first in range(TOP_K + 1, last + 1)]
        return (
            np.array([self.mean_rank(sums) for sums in tails]),
            np.array([self.share(sums) for sums in tails]),
        )

    def matched(self, mean_rank: np.ndarray) -> tuple[float, np.ndarray]:
        """(first rank, relevant share) of the tail without a margin whose mean rank is
        mean_rank [1 + B], between two whole ranks in proportion."""
        means, shares = self._tails
        first = np.interp(mean_rank[0], means[:, 0], np.arange(len(means)) + TOP_K + 1)
        columns = zip(mean_rank, means.T, shares.T, strict=True)
        return first, np.array([np.interp(*column) for column in columns])


def percent(values: np.ndarray, form: str = ".1f") -> str:
    """The first of shares [1 + B] and the middle 95 % of the others."""
    low, high = 100 * np.nanquantile(values[1:], [0.025, 0.975])
    return f"{100 * values[0]:{form}} [{low:{form}}, {high:{form}}]"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(cells)} |")
    print()


def sources(log: Log, named: Mapping[str, Options], *, unjudged: bool) -> None:
    """The relevant share of each source; of bands of ranks, by how much it falls."""
    drawn = {f"positives: ranks 1-{TOP_K}": log.positives()}
    drawn |= {name: log.drawn(options) for name, options in named.items()}
    rows, above = [], None
    for name, sums in drawn.items():
        share, is_band = log.share(sums), "ranks" in name
        rank = f"{log.mean_rank(sums)[0]:.1f}" if (sums.ranked == sums.rows).all() else ""
        fall = percent(share - above, "+.1f") if is_band and above is not None else ""
        cells = [name, f"{sums.rows.sum():,.0f}", rank]
        if unjudged:
            cells.append(f"{100 * (1 - sums.known.sum() / sums.rows.sum()):.1f}")
        rows.append([*cells, percent(share), fall])
        above = share if is_band else above
    head = ["drawn from", "rows", "mean rank", *(["unjudged %"] if unjudged else [])]
    print_table([*head, "relevant %", "against the band above, points"], rows)


def margins(log: Log, tried: Sequence[Options]) -> None:
    """The tail behind the positives with and without a margin, and at equal mean rank."""
    tail = {"mix": {"tail": 1.0}, "tail": {"kind": "share", "share": 1.0}}
    plain = log.drawn(tail)
    whole, num = log.share(plain), log.judged.lists.num_requests
    head = ["margin", "rows a request", "mean rank", "relevant %", "against no margin, points"]
    head += ["unfiltered, same mean rank", "relevant %", "margin against it, points"]
    cells = ["none", f"{plain.rows.sum() / num:.1f}", f"{log.mean_rank(plain)[0]:.1f}"]
    rows = [[*cells, percent(whole), "", "", "", ""]]
    for margin in tried:
        kind, (_, value) = margin["kind"], margin.items()
        sums = log.drawn({**tail, "margin": margin})
        if not sums.rows.any():
            rows.append([f"{kind} {value[1]:g}", "0.0", *[""] * 6])
            continue
        rank, share = log.mean_rank(sums), log.share(sums)
        first, equal = log.matched(rank)
        cells = [f"{kind} {value[1]:g}", f"{sums.rows.sum() / num:.1f}", f"{rank[0]:.1f}"]
        cells += [percent(share), percent(share - whole, "+.1f"), f"ranks {first:.1f}+"]
        rows.append([*cells, percent(equal), percent(share - equal, "+.1f")])
    print_table(head, rows)


def simulator(num_requests: int) -> None:
    """The tables of the simulator."""
    log = Log(simulated(num_requests), NUM)
    print(f"### Simulator: {num_requests:,} requests, {NUM} draws each\n")
    print(f"Relevant: a true click probability, once looked at, of {CLICK_PROBABILITY} or more.\n")
    bands = ((11, 20), (21, 30), (31, 40), (41, 50), (51, 60))
    named = {f"`tail`, ranks {first}-{last}": ranks(first, last) for first, last in bands}
    named["`tail`, the last 75 % (default)"] = only("tail")
    named |= {f"`{n}`": only(n) for n in ("prerank_dropped", "recall_dropped", "popular")}
    named["`uniform`"] = only("uniform")
    clicked = {"positives": "feedback", "allow_exposed": True}
    named["`exposed_unclicked`, clicks as positives"] = only("exposed_unclicked", **clicked)
    sources(log, named, unjudged=False)
    margins(log, SIMULATED_MARGINS)


def judgments(data: Path, run: str) -> None:
    """The tables of one TREC run."""
    judged = trec(data, run)
    log = Log(hidden(judged), ALL)
    print(f"### {run}: {judged.lists.num_requests} queries, every document drawn that may be\n")
    print("Relevant: judged 1 or better; the unjudged are in no share.\n")
    bands = ((11, 20), (21, 40), (41, 60), (61, 100))
    named = {f"`tail`, ranks {first}-{last}": ranks(first, last) for first, last in bands}
    named["`uniform`, all documents of the run"] = only("uniform")
    sources(log, named, unjudged=True)
    margins(log, TREC_MARGINS)

    known, unknown = (kind.drawn(ranks(TOP_K + 1)) for kind in (Log(judged, ALL), log))
    cut = f"{unknown.relevant.sum():,.0f} of {unknown.rows.sum():,.0f} candidates"
    left = f"{known.relevant.sum():,.0f} of {known.rows.sum():,.0f}"
    print(f"Behind rank {TOP_K} {cut} are relevant; once judgments are feedback: {left}.\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.relevance")
    real = os.environ.get("RANKDISTILL_REAL_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(real), help="holds cedr-trec-runs")
    parser.add_argument("--requests", type=int, default=10_000, help="of a simulated day")
    chosen = parser.parse_args()
    simulator(chosen.requests)
    if not (chosen.data / "cedr-trec-runs").is_dir():
        print(f"(no cedr-trec-runs under {chosen.data}: TREC runs left out)")
        return
    for run in ("test.wt12.run", "test.wt13.run"):
        judgments(chosen.data, run)


if __name__ == "__main__":
    main()
