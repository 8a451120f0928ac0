"""Negatives from the batch: who is one, who is masked, and that logQ undoes how they are drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")

from rankdistill.contract import TYPES  # noqa: E402
from rankdistill.features.join import Join  # noqa: E402
from rankdistill.samples.pointwise import PointwiseOptions  # noqa: E402
from rankdistill.student.drawing import Drawing  # noqa: E402
from rankdistill.student.fields.columns import Tables  # noqa: E402
from rankdistill.student.fields.fit import fit_fields  # noqa: E402
from rankdistill.student.fields.histories import NAME as RESPONSES  # noqa: E402
from rankdistill.student.fields.histories import Histories  # noqa: E402
from rankdistill.student.fields.options import FieldsOptions, HistoryField, IdField  # noqa: E402
from rankdistill.student.known import is_known  # noqa: E402
from rankdistill.student.loader import Loader  # noqa: E402
from rankdistill.student.losses.contrast import sampled_softmax  # noqa: E402
from rankdistill.student.models.options import FmOptions  # noqa: E402
from rankdistill.student.options import BatchOptions  # noqa: E402
from rankdistill.student.reading import ListsSource, Piece  # noqa: E402
from rankdistill.student.scoring import Scorer  # noqa: E402
from rankdistill.student.shares import shares_of  # noqa: E402
from rankdistill.student.views import in_batch  # noqa: E402
from tests.builders import make_lists  # noqa: E402

COUNTS = [80, 40, 20, 20, 10, 10, 10, 10]  # how often each item is the positive
TOP = PointwiseOptions(top_k=1, allow_exposed=True)


def written(folder: Path, rows) -> ListsSource:
    found = make_lists(rows, response={"click": 1}).rows().drop_columns(["dt"])
    pq.write_table(pa.Table.from_batches([found]), folder / "lists.parquet")
    piece = Piece(str(folder / "lists.parquet"), 0, found.num_rows, "2026-11-21")
    names = tuple(found.schema.names)
    return ListsSource((piece,), names, "rank", frozenset(), ("click",), {"click": 1})


def drawing_of(source, uniform):
    fields = FieldsOptions(user=[IdField(column="user_id", min_count=1000)])
    known = fit_fields(fields, (source.read([piece]) for piece in source.pieces))
    shares = shares_of(source, TOP, uniform)
    return Drawing(source, known, {}, 3, None, TOP, frozenset({"responded"}), None, shares)


@pytest.fixture
def popular(tmp_path):
    """A request of its own user for each time that an item is the positive."""
    rows, request = [], 0
    for item, count in enumerate(COUNTS):
        for _ in range(count):
            row = {"request_id": request, "user_id": f"u{request}", "item_id": item, "rank": 1}
            rows += [row, {**row, "item_id": (item + 1) % 8, "rank": 2}]
            request += 1
    return written(tmp_path, rows)


def learned(source, uniform, beta, num_epochs=60):
    """The logits of the items for a user that is not known."""
    make = drawing_of(source, uniform)
    loader = Loader(source, make, BatchOptions(requests=50), 3)
    scorer = Scorer.new(FmOptions(dim=1), make.fields, 1, 1e-2)
    for _ in range(num_epochs):
        for chunk in loader.epoch():
            sample = in_batch(scorer.score(chunk), chunk)
            loss = sampled_softmax(
                sample.scores,
                sample.targets,
                sample.weights,
                sample.mask,
                **{name: give() for name, give in sample.gives.items()},
                temperature=1.0,
                beta=beta,
            )
            loss.backward()
            scorer.table.update(scorer.table.gradients(), 0.3)
    chunk = make(source.pieces, None)
    with torch.no_grad():
        slots = scorer.score(chunk).slots.numpy()
    ids = [make.fields.item[0].coder.id.to_pylist().index(item) for item in range(8)]
    codes = chunk.items.codes[:, 0] - make.fields.item[0].first - 1
    return np.array([slots[codes == at][0] for at in ids])


def law(logits):
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("uniform", [0, 1])
def test_with_log_q_the_student_learns_what_the_full_softmax_would(popular, uniform):
    wanted = np.array(COUNTS) / sum(COUNTS)
    found = law(learned(popular, uniform, 1.0))
    assert np.abs(found - wanted).max() < 0.05, found


def test_without_log_q_popular_items_are_pushed_down(popular):
    found = law(learned(popular, 0, 0.0))
    assert found[0] < 0.3 and np.abs(found[1:] - 1 / 8).max() < 0.05, found


def test_with_log_q_turned_round_it_learns_something_else(popular):
    found = law(learned(popular, 0, -1.0, num_epochs=20))
    assert found.argmax() != 0, found


@pytest.fixture
def small(tmp_path):
    """Requests of few users with three candidates; some were clicked."""
    rng = np.random.default_rng(5)
    rows = []
    for request in range(30):
        for rank, item in enumerate(rng.permutation(12)[:3].tolist(), 1):
            rows.append(
                {
                    "request_id": request,
                    "user_id": None if request == 7 else f"u{request % 5}",
                    "item_id": item,
                    "rank": rank,
                    "stage": "exposed",
                    "click": float(rng.random() < 0.3),
                }
            )
    return rows, written(tmp_path, rows)


@pytest.mark.parametrize("uniform", [0, 2])
def test_a_batch_against_the_rows_one_by_one(small, uniform):
    rows, source = small
    make = drawing_of(source, uniform)
    scorer = Scorer.new(FmOptions(dim=2), make.fields, 1, 1e-2)
    chunk = make(source.pieces, 0).part(4, 20)
    with torch.no_grad():
        scored = scorer.score(chunk)
        sample = in_batch(scored, chunk)
    ids = [None, *make.fields.item[0].coder.id.to_pylist()]
    item = [ids[code - make.fields.item[0].first] for code in chunk.items.codes[:, 0].tolist()]
    positive = chunk.drawn["positives"].slots["item"]
    uniform_slots = chunk.drawn["uniform"].slots["item"] if uniform else []
    pool = [item[at] for at in [*positive, *uniform_slots]]
    requests = chunk.request_id.to_pylist()
    assert len(uniform_slots) == uniform * len(requests)
    user = {row["request_id"]: row["user_id"] or row["request_id"] for row in rows}
    known = {
        (user[row["request_id"]], row["item_id"])
        for row in rows
        if row["request_id"] in requests and (row["rank"] == 1 or row["click"])
    }
    tops = [row["item_id"] for row in rows if row["rank"] == 1]
    logit = {i: float(s) for i, s in zip(item, scored.slots, strict=True)}
    log_q, count = (sample.gives[name]() for name in ("log_q", "count"))
    for row, at in enumerate(positive):
        own = user[requests[chunk.request[at]]]
        wanted = sorted(
            (logit[i], np.log(q(i, len(positive), len(uniform_slots), tops, rows)))
            for i in pool
            if (own, i) not in known
        )
        mask = sample.mask[row].numpy()
        assert mask[0]
        found = np.stack([sample.scores[row].numpy(), log_q[row].numpy()], 1)
        often = count[row].numpy().astype(int)
        assert often[0] == 1
        rest = sorted(map(tuple, np.repeat(found[1:], often[1:] * mask[1:], 0).tolist()))
        first = found[0]
        assert np.allclose(rest, wanted, atol=1e-5)
        draws = len(positive) + len(uniform_slots) - 1
        assert np.allclose(first, [logit[item[at]], -np.log(draws)], atol=1e-5)


def test_rare_items_that_share_a_row_of_the_table_stay_apart(small):
    """Their logits are one, but each is known to its own users and has its own share."""
    source = small[1]
    make = drawing_of(source, 2)
    rare = FieldsOptions(item=[IdField(column="item_id", min_count=1000)])
    batches = (source.read([piece]) for piece in source.pieces)
    alike = replace(make, fields=fit_fields(rare, batches))
    samples = []
    for drawing in (make, alike):
        chunk = drawing(source.pieces, 0)
        with torch.no_grad():
            scored = Scorer.new(FmOptions(dim=2), drawing.fields, 1, 1e-2).score(chunk)
        samples.append(in_batch(scored, chunk))
    apart, shared = samples
    assert len(scored.items) == 1
    assert torch.equal(apart.mask, shared.mask)
    for name, give in apart.gives.items():
        assert torch.equal(give(), shared.gives[name]()), name
    assert shared.scores.unique(dim=1).shape[1] == 1


TAKEN = {"u0": [(5, 3), (9, 4)], "u1": [(5, 3)], "u2": [(40, 9)], "nobody": [(1, 3)]}
MINUTE = 60_000_000


def test_what_a_user_took_before_a_request_is_no_negative_of_his(tmp_path):
    """Thirty requests, one a minute, of three users in turn; item 99 is in no list."""
    rows = []
    for request in range(30):
        items = [(request + place) % 12 for place in (0, 5)]
        for rank, item in enumerate(items, 1):
            row = {"request_id": request, "user_id": f"u{request % 3}", "item_id": item}
            rows.append({**row, "rank": rank, "request_time": request * MINUTE})
    source = written(tmp_path, rows)
    taken = [(u, t, i) for u, own in TAKEN.items() for t, i in [*own, (0, 99)]]
    user, time, item = (list(each) for each in zip(*taken, strict=True))
    times = pa.array([t * MINUTE for t in time], TYPES["timestamp"])
    held = Histories.of(pa.table({"user_id": user, "request_time": times, "item_id": item}))
    join = Join(RESPONSES, "user", ("user_id",), True, (RESPONSES,), (), RESPONSES)
    user_fields = [IdField(column="user_id"), HistoryField(column=RESPONSES, last=1)]
    batches = (source.read([piece]) for piece in source.pieces)
    known = fit_fields(FieldsOptions(user=user_fields), batches, Tables((join,), (held,)))
    make = replace(drawing_of(source, 1), fields=known)

    chunk = make(source.pieces, None).part(0, 15)
    ids = [None, *known.item[0].coder.id.to_pylist()]
    item = [ids[code - known.item[0].first] for code in chunk.items.codes[:, 0].tolist()]
    positive = chunk.drawn["positives"].slots["item"]
    pool = np.concatenate([positive, chunk.drawn["uniform"].slots["item"]])
    requests, tops = chunk.request_id.to_pylist(), {}
    for r in requests:
        tops.setdefault(r % 3, set()).add(r % 12)
    found = is_known(chunk, positive, pool)
    for row, at in enumerate(positive):
        own = requests[chunk.request[at]] % 3
        last = max(r for r in requests if r % 3 == own)
        before = {i for t, i in TAKEN[f"u{own}"] if t < last}
        assert [item[p] in tops[own] | before for p in pool] == found[row].tolist()
    assert 4 not in tops[0] and 3 not in tops[1] and 9 not in tops[2]


def q(item, num_positives, num_uniform, tops, rows):
    """The law of the mixture, item by item."""
    num_items = len({row["item_id"] for row in rows})
    both = (num_positives - 1) * tops.count(item) / len(tops) + num_uniform / num_items
    return both / (num_positives + num_uniform - 1)
