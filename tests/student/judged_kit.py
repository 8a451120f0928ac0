"""Small lists with scores, as measures see them, and as plain rows for oracles."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rankdistill.student.evaluation.conventions import Conventions
from rankdistill.student.evaluation.judged import Judged

# (score, ranked, exposed, responded, grade, gap in rank before it)
ROW = st.tuples(
    st.sampled_from([-2.0, -0.0, 0.0, 0.5, 0.75, 3.0]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from([0, 1, 1, 1, 3]),
)
REQUESTS = st.lists(st.lists(ROW, max_size=7), max_size=6)


def judged(requests: list[list[Any]], **conventions: Any) -> Judged:
    """Ranked rows first, with rising ranks (a gap of 0 is a tie)."""
    ordered = [sorted(rows, key=lambda row: not row[1]) for rows in requests]
    flat = [row for rows in ordered for row in rows]
    rank = [
        x for rows in ordered for x in np.cumsum([max(r[5], i == 0) for i, r in enumerate(rows)])
    ]
    score, ranked, exposed, responded, grade = ([row[at] for row in flat] for at in range(5))
    chosen = Conventions(**conventions)
    return Judged(
        np.concatenate([[0], np.cumsum([len(rows) for rows in requests])]).astype(np.int64),
        np.arange(len(requests)).astype(np.uint64),
        np.array(score, np.float32),
        {
            "teacher_rank": np.where(ranked, rank, 0).astype(np.int32),
            "exposed": np.array(exposed, bool),
            "responded": np.array(exposed, bool) & np.array(responded, bool),
            "grade": np.array(grade, np.float64),
        },
        chosen,
        chosen.gain or "exponential",
        np.arange(len(flat)),
    )


def rows(found: Judged, **more: np.ndarray) -> list[list[dict[str, Any]]]:
    """One dict per candidate, list by list."""
    columns = {**found.columns, "score": found.score, "place": found.order.place, **more}
    return [
        [{name: column[at].item() for name, column in columns.items()} for at in range(a, b)]
        for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]
