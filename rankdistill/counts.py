"""What each count of a build means: read by `rankdistill explain`. Ground floor.

Counts stand in `builds` and in --result, by day or of the whole build. `*` stands for one part of
a name: a source, a table. tests/test_counts.py checks that a build counts nothing unexplained.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

_GUARDED = "items that a source of the mix could have drawn and that were kept out, as "
COUNTS = {
    # Of the door, for the whole build.
    "rows_in": "rows read: rows_used and those that were rejected or skipped",
    "requests_in": "requests read",
    "rows_used": "rows that became candidates of a list",
    "requests_used": "requests that became a list",
    "rejected.*": "rows set aside for this reason",
    "skipped.*": "rows left out because the configuration asks for it",
    "requests.*": "requests set aside or left out for this reason",
    "requests.list_empty": "requests whose list holds no candidate",
    "rank_one": "rows of rank 1, to tell whether ranks begin at 1",
    "*_zero": "rows of rank or position 0: set log.rank_base: 0 if the log counts from 0",
    "*_before_its_stage": "ranks of items that never came to that ranker: cleared",
    "feedback_without_exposure": "rows with feedback on an item that was not exposed: it is "
    "dropped, so these items count as not responded to; is log.stage right?",
    "where.rows": "rows in the files, whether log.where keeps them or not",
    "where.left_out": "rows that log.where leaves out",
    "feedback.rows_in": "rows of the feedback table",
    "feedback.joined": "rows of the feedback table that met their candidate",
    "feedback.duplicate": "rows of the feedback table on a candidate that has one already",
    "feedback.without_candidate": "rows of the feedback table whose request has no such item",
    "feedback.without_request": "rows of the feedback table whose request is not in the log",
    "feedback.item_id_missing": "rows of the feedback table without an item",
    "feedback.value_unreadable": "rows of the feedback table with a value that cannot be read",
    "items.rows": "rows of the item table (catalogue.items)",
    "items.no_id": "rows of the item table whose id is null, empty or cannot be read: left out",
    "features.*.rows": "rows of a feature table",
    "features.*.no_key": "rows of a feature table without a key: left out",
    "features.*.no_time": "rows of a feature table without a time that can be read: left out",
    "features.*.*.looked_up": "look-ups in a feature table for the rows of a kind",
    "features.*.*.missing": "look-ups that found no row: the features are null",
    # Of the lists, by day.
    "requests": "requests of the day",
    "candidates": "candidates of the day",
    "one_candidate_requests": "requests of one candidate: no pair and no list",
    "requests_with_rank_gap": "requests whose ranks have gaps: set log.ranks: sampled if the log "
    "keeps a sample",
    "rank_gaps": "ranks that no candidate has, between the first and the last",
    "rank_ties": "neighbours in the teacher's order of one rank",
    "score_neighbours": "neighbours in the teacher's order that both have a score",
    "score_ties": "of these, those with the same score",
    "score_inversions": "of these, those whose score rises: many of them mean a wrong order",
    "scores_outside_unit": "scores outside 0 .. 1: no probabilities",
    "requests_of_odd_time": "requests before 2000 or after 2099: is the unit of the time right?",
    # Of the kinds, by day.
    "*.requests": "requests that the kind looked at",
    "*.rows": "rows of the table",
    "*.at_most": "rows that the options allow at most",
    "*.requests_without_row": "requests without any row of the kind",
    "*.requests_without_positive": "requests that hold no positive: nothing is drawn for them",
    "*.debias.dropped": "rows left out with a popular positive that debias thins",
    "*.debias.repeated": "rows of a rare positive that counts more than once (weight)",
    "pointwise.positives": "rows of positives",
    "pointwise.negatives_missing": "negatives that were wanted and not there",
    "pairwise.pairs_tied_skipped": "pairs of tied teacher scores: neither is better",
    "pairwise.pairs_gap_not_positive": "pairs whose weight is not above zero: left out",
    "pairwise.rows_capped": "pairs over max_pairs_per_request: left out by hash",
    "listwise.items": "candidates in the lists",
    "listwise.items_cut": "candidates beyond max_length: left out",
    "listwise.lists_of_one_grade": "lists whose grades are all equal: they teach no order",
    "negatives.wanted": "negatives asked for: num of each request (or positive) with a positive",
    "negatives.target.*": "of the negatives wanted, the share of this source in the mix",
    "negatives.short.*": "of the target, what this source did not hold: another day's catalogue or "
    "a longer log helps, or a smaller share",
    "negatives.early.*.*": "of target or short, the part of days whose catalogue is empty, as that "
    "of a log's first day is: Q18 leaves it out",
    "negatives.filled.*": "negatives taken from this source in place of one that was short",
    "negatives.drawn.*": "rows of this source: target - short + filled, less collided",
    "negatives.unfilled": "negatives wanted that no source of the mix had left: add a source to "
    "the mix (a share of 0 only fills), or lower num",
    "negatives.collided": "draws from the catalogue lost because their item was drawn already",
    "negatives.guarded.positive": f"{_GUARDED}positives of the request",
    "negatives.guarded.responded": f"{_GUARDED}the user responded to them in the request",
    "negatives.guarded.exposed": f"{_GUARDED}they were shown in the request (allow_exposed: false)",
    "negatives.guarded.history": f"{_GUARDED}the user responded to them within history_window "
    "before the request",
    "negatives.guarded.future": f"{_GUARDED}the user responded to them within future_window after "
    "the request",
    "negatives.guarded.margin": f"{_GUARDED}their teacher score lies too near to that of the "
    "weakest positive (margin)",
    "negatives.margin.unscored": "candidates that pass the margin because they have no score",
}


def meanings(name: str, reasons: Mapping[str, str]) -> dict[str, str]:
    """{count: what it means} of a count, or of all those that may be called `name` for short;
    reasons: of rejected.*, skipped.* and requests.*."""
    best = [pattern for pattern in COUNTS if _is(name, pattern)]
    if best:
        text = COUNTS[min(best, key=lambda pattern: pattern.count("*"))]
        reason = reasons.get(name.rpartition(".")[2])
        return {name: f"{text}: {reason}" if reason and best[0] in _OF_REASONS else text}
    return {pattern: text for pattern, text in COUNTS.items() if _holds(pattern, name)}


_OF_REASONS = ("rejected.*", "skipped.*", "requests.*")


def _is(name: str, pattern: str) -> bool:
    """Whether `name` is of the pattern, part by part."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _holds(pattern: str, name: str) -> bool:
    """Whether a count of the pattern may be called `name` for short: some of its parts."""
    parts, whole = name.split("."), pattern.split(".")
    spans = (whole[at : at + len(parts)] for at in range(len(whole) - len(parts) + 1))
    return any(span[0] != "*" and all(map(fnmatchcase, parts, span)) for span in spans)
