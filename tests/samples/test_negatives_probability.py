"""Stored probabilities of negatives by Monte Carlo: one awkward request, each copy drawn anew.

Fixed seeds, so a failure is no bad luck; the bound of 4.5 standard errors is left with
probability 7e-6 per row by a right kernel.
"""

import functools

import numpy as np
import pytest

from rankdistill.samples.facts import SOURCES
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.negatives import negatives
from tests.builders import ranked_list
from tests.samples.logs import by_request
from tests.samples.negatives_kit import World, law_of

NUM = 6000
SEEDS = (1, 20261121)
SCORES = [3.0, 2.0, 2.0, 1.5, 1.0, 2.5, 1.0, 0.5]
STAGES = ["exposed", "reranked", *["ranked"] * 4, "exposed", "ranked"]
BLANK = {"rank": None, "teacher_score": None, "position": None, "click": None}


def one_request():
    """Items 1 .. 8 ranked (8 in the history), 9 .. 12 dropped at two stages."""
    rows = ranked_list(0, SCORES, stage=STAGES)
    for item, stage in ((9, "preranked"), (10, "preranked"), (11, "preranked"), (12, "recalled")):
        rows.append({"request_id": 0, **BLANK, "item_id": item, "stage": stage})
    return [{**BLANK, **row} for row in rows]


CLICKS = {1: 9, 3: 4, 5: 2, 9: 8, 20: 30, 21: 3, 22: 3, 23: 1, 24: 0, 25: 0, 26: 12}
MINED = [(3, 0.5), (9, 2.0), (21, 0.9), (30, 0.9), (31, None), (8, 9.0)]
CONFIGS = {
    "logged": {"mix": {"prerank_dropped": 0.5, "tail": 0.5}, "num": 3},
    "every pool": {
        "mix": {"prerank_dropped": 0.3, "recall_dropped": 0.1, "tail": 0.3, "mined": 0.3},
        "mined": {"sampling_strategy": "random"},
        "num": 6,
    },
    "exposed": {
        "mix": {"exposed_unclicked": 0.2, "prerank_dropped": 0.8},
        "allow_exposed": True,
        "num": 3,
    },
    "mined, top": {"mix": {"mined": 0.5, "popular": 0.5}, "num": 4},
    "popular": {"mix": {"popular": 1.0}, "num": 3},
    "popular, all of it": {"mix": {"popular": 1.0}, "num": 9},
    "uniform": {"mix": {"uniform": 1.0}, "num": 4},
    "popular and uniform": {"mix": {"popular": 0.5, "uniform": 0.5}, "num": 6},
    "recall's default": {"num": 8},
    "recall's default, short": {"num": 14, "tail": {"kind": "ranks", "from_rank": 8}},
    "every pool and law": {
        "mix": {"prerank_dropped": 0.2, "tail": 0.2, "mined": 0.2, "popular": 0.2, "uniform": 0.2},
        "mined": {"sampling_strategy": "random"},
        "num": 10,
    },
    "mined, top, and uniform": {"mix": {"mined": 0.4, "uniform": 0.6}, "num": 5},
    "margin": {"mix": {"tail": 0.6, "uniform": 0.4}, "margin": {"kind": "absolute", "gap": 1.0}},
}


@functools.cache
def world():
    rows = [{**row, "request_id": request} for request in range(NUM) for row in one_request()]
    everyone = range(NUM)
    return World(
        rows,
        CLICKS,
        history={key: [8, 22] for key in everyone},
        future={},
        mined=dict.fromkeys(everyone, MINED),
    )


@functools.cache
def lists():
    return world().lists()


def assert_as_often(names, expected):
    """Each of {name: probability} is drawn that often over NUM copies, and no other; returns the
    probability of each of `names`."""
    index = {name: place for place, name in enumerate(expected)}
    assert set(names) <= set(index), set(names) - set(index)
    stored = np.array(list(expected.values()))
    cell = np.array([index[name] for name in names])
    error = np.bincount(cell, minlength=len(stored)) / NUM - stored
    assert (np.abs(error) <= 4.5 * np.sqrt(stored * (1 - stored) / NUM) + 1e-9).all()
    return stored[cell]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("per", ["request", "positive"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_negatives_are_drawn_as_often_as_their_probability_says(name, per, seed):
    settings = {"top_k": 2, "per": per, "popular": {"count_of": "click"}, **CONFIGS[name]}
    if per == "positive":
        settings["num"] = -(-settings.get("num", 20) // 2)
    options = NegativesOptions(**settings).for_student("recall")
    side = world().side(options, seed)
    found = negatives(lists(), options, seed, side)
    (members,) = by_request(one_request()).values()
    law = law_of(world(), 0, members, options)

    item_id = lists().candidates.column("item_id").to_numpy()
    mined, catalogue = side.mined.item_id.to_numpy(), side.catalogue.item_id.to_numpy()
    item = np.where(found.item >= 0, item_id[found.item], catalogue[found.catalogue_item])
    is_mined = (found.item < 0) & (found.mined_item >= 0)
    item[is_mined] = mined[found.mined_item[is_mined]]
    assert law.positives == [1, 2] and found.counts["rows"] > NUM
    if per == "request":
        source = [SOURCES[code] for code in found.source]
        assert_as_often(
            list(zip(item.tolist(), source, strict=True)),
            {(key, s): p for key, odds in law.rows.items() for s, p in odds.by_source.items()},
        )
        names = item.tolist()
        expected = {key: odds.probability for key, odds in law.rows.items()}
    else:
        names = list(zip(item_id[found.pos].tolist(), item.tolist(), strict=True))
        whole = {(pos, key): odds for key, odds in law.rows.items() for pos in (1, 2)}
        expected = {name: odds.probability / 2 for name, odds in whole.items()}
    assert np.allclose(found.probability, assert_as_often(names, expected), rtol=1e-6, atol=0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["popular", "uniform"])
def test_single_draws_without_a_guard_follow_item_q(name, seed):
    options = NegativesOptions(
        num=1, mix={name: 1.0}, popular={"count_of": "click"}, positives="exposed", top_k=1
    ).for_student("recall")
    lone = [{"request_id": r, **BLANK, "item_id": 999, "stage": "exposed"} for r in range(NUM)]
    of = World(lone, CLICKS)
    side = of.side(options, seed)
    found = negatives(of.lists(), options, seed, side)
    seen = np.bincount(found.catalogue_item, minlength=len(CLICKS))
    q = side.laws[name].q
    assert (found.item_q == q[found.catalogue_item]).all()
    assert (found.mixture_q == found.item_q).all()
    assert found.probability == pytest.approx(found.item_q)
    assert ((seen - NUM * q) ** 2 / (NUM * q)).sum() < 29.6  # chi2(10) at 1e-3
