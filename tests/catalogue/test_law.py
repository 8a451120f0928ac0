"""Draws from a catalogue: stated probabilities are the true ones, whatever is excluded."""

from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.catalogue import law as law_page
from rankdistill.catalogue.law import MAX_DRAW, Law, draw
from rankdistill.catalogue.ticks import TICKS, Scale, power
from rankdistill.hashing import mix, name_key
from rankdistill.samples.lots import Lots
from tests.side_kit import make_catalogue, popularity, uniform

COUNTS = st.sampled_from([0, 0, 1, 2, 3, 50, 10**4, 10**12])
IDS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12, unique=True),
    st.lists(st.text(max_size=40), max_size=12, unique=True),
)


def catalogue(ids, counts, kind=None):
    return make_catalogue(pa.array(ids, kind), {"exposed": np.array(counts, dtype=np.int64)})


def lots(num_requests, seed=5):
    return Lots(seed, 0, mix(seed, np.arange(num_requests)))


def packed(excluded):
    offsets = np.concatenate([[0], np.cumsum([len(e) for e in excluded], dtype=np.int64)])
    return offsets, np.array([item for e in excluded for item in e], dtype=np.int64)


def rows(law, lots, num_draw, excluded):
    drawn = draw(law, lots, "t", np.array(num_draw, dtype=np.int64), *packed(excluded))
    return list(zip(drawn.request, drawn.item, drawn.probability, strict=True))


def by_hand(keys, seed, law, lots, num_draw, excluded):
    """Rows of all requests, and how many draws hit an item again."""
    name = name_key("catalogue.order")
    axis = sorted(range(len(keys)), key=lambda i: int(mix(seed, name, keys[i : i + 1])[0]))
    ticks = law.ticks(np.arange(len(keys))).tolist()
    found, collided = [], 0
    for request, (num, cut) in enumerate(zip(num_draw, excluded, strict=True)):
        left = [item for item in axis if item not in cut]
        ends = list(accumulate(ticks[item] for item in left))
        if not ends or not ends[-1]:
            continue
        start = int((lots.bits("t", request, 0, 0) >> 11) * 2.0**-53 * ends[-1])
        hits = [left[bisect_right(ends, (start + k * ends[-1]) // num)] for k in range(num)]
        found += [(request, i, min(1, num * ticks[i] / ends[-1])) for i in dict.fromkeys(hits)]
        collided += num - len({*hits})
    return found, collided


@st.composite
def cases(draw_from):
    ids = draw_from(IDS)
    counts = draw_from(st.lists(COUNTS, min_size=len(ids), max_size=len(ids)))
    some = st.lists(st.integers(0, len(ids) - 1), unique=True) if ids else st.just([])
    cuts = st.one_of(st.just([]), some, st.permutations(range(len(ids))))
    requests = draw_from(st.lists(st.tuples(st.integers(0, 9), cuts), max_size=5))
    made = catalogue(ids, counts, None if ids else pa.int64())
    alpha, c = draw_from(st.sampled_from([(0.75, 1.0), (0.0, 0.0), (1.0, 0.0), (2.3, 0.5)]))
    law = popularity(made, 3, count_of="exposed", alpha=alpha, c=c)
    law = draw_from(st.sampled_from([law, uniform(made, 3)]))
    return made, law, [num for num, _ in requests], [cut for _, cut in requests]


@given(cases())
def test_a_draw_is_the_one_made_by_hand(case):
    made, law, num_draw, excluded = case
    drawing = lots(len(num_draw))
    drawn = draw(law, drawing, "t", np.array(num_draw, dtype=np.int64), *packed(excluded))
    expected, collided = by_hand(made.key, 3, law, drawing, num_draw, excluded)
    assert list(zip(drawn.request, drawn.item, drawn.probability, strict=True)) == expected
    assert drawn.num_collided == collided


@given(cases())
def test_no_item_comes_twice_or_though_excluded_or_without_a_chance(case):
    _, law, num_draw, excluded = case
    found = [(r, i) for r, i, _ in rows(law, lots(len(num_draw)), num_draw, excluded)]
    assert len(found) == len({*found})
    assert not {*found} & {(r, i) for r, cut in enumerate(excluded) for i in cut}
    assert all(law.q[i] > 0 for _, i in found)


@given(cases(), st.integers(1, 40))
def test_a_request_draws_the_same_alone_as_beside_others(case, block):
    _, law, num_draw, excluded = case
    drawing = lots(len(num_draw))
    alone = []
    for request, key in enumerate(drawing.request_key):
        single = Lots(drawing.seed, 0, np.array([key]))
        drawn = rows(law, single, num_draw[request : request + 1], excluded[request : request + 1])
        alone += [(request, item, probability) for _, item, probability in drawn]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(law_page, "_BLOCK", block)
        assert rows(law, drawing, num_draw, excluded) == alone


@given(cases())
def test_inclusion_of_a_drawn_row_is_the_one_on_it(case):
    _, law, num_draw, excluded = case
    num = np.array(num_draw, dtype=np.int64)
    drawn = draw(law, lots(len(num)), "t", num, *packed(excluded))
    again = law.inclusion(num, *packed(excluded), drawn.request, drawn.item)
    assert (again == drawn.probability).all()


@given(cases())
def test_of_is_q_and_zero_for_what_is_not_known(case):
    made, law, *_ = case
    items = np.arange(-1, len(made))
    assert law.of(items).tolist() == [0.0, *law.q.tolist()]
    assert law.num_possible == (law.q > 0).sum()


SKEWED = [0, 1, 2, 5, 9, 40, 1000, 7]
LAWS = {
    "uniform": uniform,
    "popular": lambda made, seed: popularity(made, seed, count_of="exposed"),
    "counted": lambda made, seed: popularity(made, seed, count_of="exposed", alpha=1.0, c=0.0),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(("num", "cut"), [(1, []), (3, []), (3, [6]), (2, [0, 3, 5]), (6, [1])])
def test_items_are_drawn_as_often_as_stated(name, num, cut):
    """Over seeds (the order of the axis) and requests (the offset)."""
    made, seen, times = catalogue(range(100, 108), SKEWED), np.zeros(8), 0
    for seed in range(20):
        law = LAWS[name](made, seed)
        drawn = draw(law, lots(1000, seed), "t", np.full(1000, num), *packed([cut] * 1000))
        seen += np.bincount(drawn.item, minlength=8)
        times += 1000
    q = law.q.copy()
    q[cut] = 0
    p = np.minimum(1, num * q / q.sum())
    is_open = (p > 0) & (p < 1)
    assert (seen[~is_open] == times * p[~is_open]).all()
    z = (seen - times * p)[is_open] / np.sqrt(times * (p * (1 - p))[is_open])
    assert np.abs(z).max(initial=0) < 4.5


@pytest.mark.parametrize("name", LAWS)
def test_single_draws_follow_q(name):
    made, num = catalogue(range(40), [n * n for n in range(40)]), 100_000
    law = LAWS[name](made, 1)
    drawn = draw(law, lots(num), "t", np.ones(num, dtype=np.int64), *packed([[]] * num))
    expected = num * law.q
    seen = np.bincount(drawn.item, minlength=40)
    held = expected > 0
    assert seen[~held].sum() == 0
    chi2 = ((seen - expected)[held] ** 2 / expected[held]).sum()
    assert chi2 < 72.1  # chi2(39) at 1e-3


@given(st.lists(COUNTS, min_size=1, max_size=9), st.sampled_from([0.0, 0.5, 0.75, 1.0, 3.0]))
def test_popularity_is_count_plus_c_to_the_alpha(counts, alpha):
    law = popularity(catalogue(range(len(counts)), counts), 1, count_of="exposed", alpha=alpha)
    made = catalogue(range(len(counts)), counts)
    weight = [(int(n) + 1) ** alpha for n in made.counts["exposed"]]
    assert law.q == pytest.approx([w / sum(weight) for w in weight], rel=1e-9, abs=2**-43)
    assert (law.q > 0).all() and law.q.sum() == pytest.approx(1, abs=1e-12)


def test_with_c_0_what_was_never_counted_is_never_drawn_even_if_nothing_was():
    made = catalogue([1, 2, 3], [0, 0, 0])
    law = popularity(made, 1, count_of="exposed", c=0.0)
    assert law.q.tolist() == [0, 0, 0] and law.num_possible == 0
    assert rows(law, lots(2), [3, 4], [[], [1]]) == []


@pytest.mark.parametrize("alpha", [0.75, 0.1, 1 / 3, 2.5])
def test_power_is_exact_to_46_bits(alpha):
    """Against logarithms in 40 digits."""
    from decimal import Decimal, localcontext

    base = np.array([1e-3, 0.5, 1, 2, 3, 10, 12345, 10.0**12])
    with localcontext(prec=40):
        exact = [Decimal(b) ** Decimal(alpha) for b in base]
        found = [Decimal(p) for p in power(base, alpha)]
        assert all(abs(f / e - 1) < Decimal(2) ** -46 for f, e in zip(found, exact, strict=True))


def test_power_of_zero():
    assert power(np.zeros(2), 0.75).tolist() == [0, 0] and power(np.zeros(2), 0).tolist() == [1, 1]


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20), st.randoms())
def test_ticks_are_the_weights_in_any_order_and_just_fill_the_axis(weight, random):
    pieces = [np.array(weight[:3]), np.array(weight[3:])]
    ticks = Scale.of(lambda: pieces).ticks(np.array(weight))
    assert TICKS * (1 - 2**-20) < int(ticks.sum()) <= TICKS
    share = [Fraction(w) / sum(map(Fraction, weight)) for w in weight]
    assert all(
        abs(int(t) - s * TICKS) <= s * TICKS * 2**-20 + 1 for t, s in zip(ticks, share, strict=True)
    )
    order = random.sample(range(len(weight)), len(weight))
    again = np.array(weight)[order]
    assert (Scale.of(lambda: [again]).ticks(again) == ticks[order]).all()


@pytest.mark.parametrize("name", LAWS)
def test_the_most_draws_that_are_allowed_do_not_overflow(name):
    made = catalogue(range(2000), [n**3 for n in range(2000)])
    law, drawing, cut = LAWS[name](made, 3), lots(1), [list(range(0, 2000, 7))]
    assert law.total * (MAX_DRAW + 1) < 2**63
    expected, _ = by_hand(made.key, 3, law, drawing, [MAX_DRAW], cut)
    assert rows(law, drawing, [MAX_DRAW], cut) == expected


def test_other_seed_request_and_purpose_draw_otherwise():
    made = catalogue(range(500), [1] * 500)

    def items(seed=1, law_seed=1, purpose="a", request=0):
        keys = Lots(seed, 0, np.array([request], dtype=np.uint64))
        return draw(
            uniform(made, law_seed), keys, purpose, np.array([5]), *packed([[]])
        ).item.tolist()

    others = [items(seed=2), items(law_seed=2), items(purpose="b"), items(request=1)]
    assert items() == items() and all(items() != other for other in others)


def test_excluding_an_item_twice_is_our_fault():
    law = uniform(catalogue([1, 2, 3], [1, 1, 1]), 1)
    with pytest.raises(AssertionError, match="twice"):
        rows(law, lots(1), [1], [[2, 2]])


def test_a_law_is_made_of_arrays_of_16_bytes_an_item():
    law = uniform(catalogue(range(10_000), [1] * 10_000), 1)
    assert isinstance(law, Law)
    assert law.order.nbytes + law.place.nbytes + law.edge.nbytes == 16 * 10_000 + 8
