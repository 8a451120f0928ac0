"""Why a row is set aside at the door. Every reason is counted; a sample of rows is kept."""

from __future__ import annotations

import numpy as np

REASONS = {
    "request_id_missing": "request_id is null or empty",
    "user_id_missing": "user_id is mapped and null or empty",
    "item_id_missing": "item_id is null or empty",
    "request_time_missing": "request_time is mapped and null",
    "dt_missing": "the day column is null or empty",
    "value_unreadable": "a value cannot be read as the type its column needs",
    "stage_unknown": "no stage flag is set, or the stage value is not in the map",
    "rank_below_base": "a rank or position lies below rank_base",
    "score_nan": "teacher_score or another score is NaN",
    "score_infinite": "teacher_score or another score is infinite",
    "score_null": "teacher_score is null although the fine ranker processed the item",
    "request_conflict": "the request's columns differ between its rows",
    "request_repeated": "the request id occurs in more than one row of a lists log",
    "list_lengths_differ": "the parallel lists of the request differ in length",
    "list_null_element": "a list of the request holds a null candidate",
    "duplicate_equal": "an equal row of the same request and item is used",
    "duplicate_differing": "another row of the same request and item is used",
    "over_max_candidates": "beyond max_candidates in the teacher's order",
    "id_too_long": "request_id, user_id or item_id has more than 16,384 bytes",
}
# Left out because the configuration asks for it: counted, but no fault of the row.
SKIPPED = {
    "not_sampled": "its request is not in the sample (sample_requests)",
    "other_dt": "its day was not asked for",
}
CODES = {reason: code for code, reason in enumerate([*REASONS, *SKIPPED], start=1)}
NAMES = ("", *REASONS, *SKIPPED)


class Verdict:
    """The first reason found against each of n rows (or requests); 0 is no reason."""

    def __init__(self, size: int) -> None:
        self.code = np.zeros(size, dtype=np.int8)

    def against(self, mask: np.ndarray | None, reason: str) -> None:
        """Hold `reason` against the rows of `mask` that have none yet."""
        if mask is not None and mask.any():
            self.code[mask & (self.code == 0)] = CODES[reason]

    def excuse(self, mask: np.ndarray | None, reason: str) -> None:
        """Leave out the rows of `mask` for a reason of SKIPPED, whatever else is against them."""
        assert reason in SKIPPED
        if mask is not None:
            self.code[mask] = CODES[reason]

    @property
    def passed(self) -> np.ndarray:
        return self.code == 0

    @property
    def rejected(self) -> np.ndarray:
        """Set aside by a fault, not by choice."""
        return (self.code != 0) & (self.code <= len(REASONS))

    def counts(self) -> dict[str, int]:
        """{reason: rows}, without the zeros."""
        if not self.code.any():
            return {}
        found = np.bincount(self.code, minlength=1)
        return {NAMES[code]: int(n) for code, n in enumerate(found) if code and n}
