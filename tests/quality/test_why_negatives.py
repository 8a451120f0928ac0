"""Why a candidate is a negative or none: the texts tell every source that might have drawn it."""

import pytest

from rankdistill.quality.why_negatives import why_negatives
from rankdistill.samples.gather import negatives_table
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.negatives import negatives
from tests.builders import ranked_list
from tests.samples.negatives_kit import World


@pytest.mark.parametrize(
    ("mix", "rest"),
    [
        ({"tail": 0.5, "popular": 0.5}, "not drawn, by chance, nor from popular"),
        ({"tail": 1.0}, "not drawn, by chance"),
    ],
)
def test_a_candidate_of_a_pool_is_told_of_the_catalogue_beside_it(mix, rest):
    rows = [
        {"position": None, "click": None, **row}
        for row in ranked_list(0, [float(-n) for n in range(20)], stage=["ranked"] * 20)
    ]
    chosen = NegativesOptions(num=4, top_k=2, mix=mix, popular={"count_of": "click"})
    options = chosen.for_student("recall")
    world = World(rows, dict.fromkeys(range(15, 40), 1))
    lists, side = world.lists(), world.side(options)
    table = negatives_table(lists, negatives(lists, options, 1, side), side).to_pylist()
    drawn = {row["item_id"]: row["source"] for row in table}
    for item, why in enumerate(why_negatives(lists, table, options, side).tolist(), start=1):
        if item in drawn:
            assert why.startswith(f"negative ({drawn[item]})")
        elif item <= 2:
            assert why == "positive of this request: never a negative"
        elif item > 5:
            assert why == f"in the pool tail of 15: {rest}"
