"""Upper bounds from list lengths: never below what a kernel makes, and reached on plain lists."""

import numpy as np
import pytest

from rankdistill.samples.bounds import never_drawn, pairs_of
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.listwise import ListwiseOptions
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.samples.pointwise import PointwiseOptions
from rankdistill.samples.strategies import DeltaNdcgPairs
from tests.builders import make_lists, ranked_list

LENGTHS = [0, 1, 2, 3, 7, 12, 40]
BANDS = {"kind": "bands", "bands": [{"from_rank": 11, "num": 3}]}
CHOICES = [
    ("pairwise", PairwiseOptions(strategy={"kind": kind, **more}, top_k=top_k), is_reached)
    for top_k in (1, 10)
    for kind, more, is_reached in [
        ("random", {}, True),
        ("adjacent", {}, True),
        ("topk", {}, True),
        ("mean", {}, False),
        ("all", {}, True),
        ("stage", {}, False),
        ("margin", {"delta": 1.0}, True),
        ("delta_ndcg", {}, False),
    ]
] + [
    ("pairwise", PairwiseOptions(max_pairs_per_request=5), True),
    ("pointwise", PointwiseOptions(gap="keep"), True),
    ("pointwise", PointwiseOptions(negatives={"kind": "all"}, gap="keep"), True),
    ("pointwise", PointwiseOptions(negatives={"kind": "none"}), True),
    ("pointwise", PointwiseOptions(negatives=BANDS), True),
    ("pointwise", PointwiseOptions(positives=("rank", "feedback")), False),
    ("listwise", ListwiseOptions(), True),
]


def lists_of_lengths():
    rows = []
    for request, length in enumerate(LENGTHS):
        rows += ranked_list(request, range(length, 0, -1)) or [{"request_id": request}]
    return make_lists(rows)


@pytest.mark.parametrize(("kind", "options", "is_reached"), CHOICES)
def test_no_request_gives_more_rows_than_its_length_allows(kind, options, is_reached):
    lists, options = lists_of_lengths(), options.for_student("recall")
    drawn = SAMPLERS[kind].draw(lists, options, 7)
    rows = np.bincount(drawn.request, minlength=len(LENGTHS))
    most = options.most_rows(lists.lengths)
    assert (rows <= most).all()
    assert not is_reached or (rows == most).all()


@pytest.mark.parametrize("k", [None, 1, 3, 50])
@pytest.mark.parametrize("m", [None, 1, 4, 50])
def test_pairs_are_counted_as_by_hand(k, m):
    for n in range(12):
        by_hand = sum(min(n - i, m or n) for i in range(1, min(n, k or n) + 1))
        assert pairs_of(np.array([n]), k, m) == by_hand


def test_pairs_inside_one_grade_are_never_drawn_by_delta_ndcg_unless_a_floor_keeps_them():
    lists = make_lists(ranked_list(1, [4.0, 3.0, 2.0, 1.0]))
    two_buckets = {"kind": "rank_bucket", "width": 2, "levels": 2}
    assert never_drawn(lists, DeltaNdcgPairs(grade=two_buckets), 10) == (2, 6)
    assert never_drawn(lists, DeltaNdcgPairs(grade=two_buckets, floor=0.1), 10) == (0, 6)
