"""Measures of rows, lists and scores on real logs, against pandas over the raw files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.quality.real_kit import needs_real_logs

pytestmark = needs_real_logs
LOGS = ("trec", "trec_file", "bts_file", "bandit_pages", "ratings")
KEY = ["request_id", "item_id"]


def candidates(log: pd.DataFrame) -> pd.DataFrame:
    """One row of each candidate: of what a log says twice, one."""
    return log.drop_duplicates(KEY)


@pytest.mark.parametrize("name", LOGS)
def test_every_row_is_used_or_a_repeat(real, name):
    log, found = real(name).log, real(name).measures
    repeated = len(log) - len(candidates(log))
    assert (found["Q01"]["value"], found["Q01"]["n"]) == (0, len(log))
    assert found["Q01"]["parts"]["used"] == pytest.approx(1 - repeated / len(log))
    assert found["Q02"]["value"] == pytest.approx(repeated / len(log))
    assert (repeated > 0) == (name == "bandit_pages")


EDGES = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000, np.inf]


@pytest.mark.parametrize("name", LOGS)
def test_requests_are_as_long_as_they_have_candidates(real, name):
    lengths = candidates(real(name).log).groupby("request_id").size()
    found = real(name).measures["Q06"]
    counts = pd.cut(lengths, EDGES, right=False).value_counts(sort=False)
    assert found["histogram"]["length"]["counts"] == counts.tolist()
    assert (found["value"], found["n"]) == (pytest.approx((lengths < 2).mean()), len(lengths))
    assert found["parts"]["mean"] == pytest.approx(lengths.mean())
