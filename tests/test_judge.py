"""What a build's counts say of its samples."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rankdistill.build import build
from rankdistill.judge import judge_negatives
from rankdistill.plan import plan
from rankdistill.summary import build_summary
from tests.log.door_kit import settings


@pytest.mark.parametrize(("width", "is_flat"), [(3, True), (2, False)])
def test_lists_of_one_grade_are_told_and_warned_of_where_most_are(tmp_path, width, is_flat):
    ranks = [{"request_id": r, "item_id": i, "rank": i} for r in range(4) for i in (1, 2, 3)]
    pq.write_table(pa.Table.from_pylist(ranks), tmp_path / "log.parquet")
    grade = {"kind": "rank_bucket", "width": width, "levels": 4}
    chosen = settings(
        {"path": str(tmp_path / "log.parquet")},
        tmp_path / "feed",
        samples={"listwise": {"grade": grade}},
    )
    planned, made = plan(chosen), build(chosen)
    assert made.totals["listwise.lists_of_one_grade"] == 4 * is_flat
    assert ("4 lists of one grade" in build_summary(made, "feed")) == is_flat
    for warnings in (planned.warnings, made.warnings):
        said = any("all grades are equal in 100% of the lists" in text for text in warnings)
        assert said == is_flat


def test_sources_of_negatives_that_run_short_are_warned_of():
    counts = {"target.popular": 10, "short.popular": 3, "target.tail": 10, "short.tail": 2}
    counts |= {"wanted": 20, "unfilled": 1}
    short, unfilled = judge_negatives({f"negatives.{name}": n for name, n in counts.items()})
    assert "popular lacked 30%" in short
    assert "1 of 20 negatives" in unfilled
    assert judge_negatives({"pointwise.rows": 4}) == []
