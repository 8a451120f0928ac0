"""The order of batches: decided by seed, epoch and build alone, whoever reads and resumes."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

pytest.importorskip("torch")

from rankdistill.errors import PlaceError
from rankdistill.student.loader import whole
from rankdistill.student.options import BatchOptions
from tests.student.kit import loader_of, some_lists, source_of

SMALL = BatchOptions(requests=7, slots=40, pool=40)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return source_of(tmp_path_factory.mktemp("lists"))


def told(chunk):
    """All that a step sees of a batch."""
    drawn = chunk.drawn["pairwise"]
    return (
        chunk.request_id.to_pylist(),
        chunk.offsets.tolist(),
        chunk.users.codes.tolist(),
        chunk.items.codes.tolist(),
        [drawn.slots[name].tolist() for name in ("pos", "neg")],
        drawn.values["weight"].tolist(),
    )


def batches(source, options=SMALL, **asked):
    return [told(chunk) for chunk in loader_of(source, options, **asked).epoch()]


def requests(found):
    return [request for batch in found for request in batch[0]]


def test_every_request_comes_once_in_an_epoch(source):
    assert sorted(requests(batches(source))) == list(range(200))


def test_epochs_have_orders_and_draws_of_their_own(source):
    loader = loader_of(source, SMALL)
    first, second = ([told(chunk) for chunk in loader.epoch()] for _ in range(2))
    assert sorted(requests(first)) == sorted(requests(second))
    assert requests(first) != requests(second)
    pairs = [
        {r: tuple(map(len, (b[4][0],))) for b in found for r in b[0]} for found in (first, second)
    ]
    assert pairs[0] != pairs[1]


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_changes_nothing(source, workers):
    many = SMALL.model_copy(update={"workers": workers})
    assert batches(source, many) == batches(source)


def test_batches_are_bounded_by_requests_and_by_slots(source):
    lengths = [(len(batch[0]), batch[1][-1]) for batch in batches(source)]
    assert all(num <= 7 and slots <= 40 for num, slots in lengths)
    assert max(num for num, _ in lengths) == 7


def test_a_list_longer_than_a_batch_comes_alone(source):
    tiny = BatchOptions(requests=7, slots=4, pool=40)
    found = batches(source, tiny)
    assert all(slots <= 4 or len(ids) == 1 for ids, (*_, slots), *_ in found)
    assert sorted(requests(found)) == list(range(200))


def test_a_loader_goes_on_at_exactly_the_batch_it_was_stopped_at(source):
    every = batches(source)
    for taken in range(len(every) + 1):
        first = loader_of(source, SMALL)
        epoch = first.epoch()
        begun = [told(chunk) for chunk in islice(epoch, taken)]
        state = first.state_dict()
        again = loader_of(source, SMALL)
        again.load_state_dict(state)
        rest = [told(chunk) for chunk in again.epoch()]
        assert begun + rest == every, taken


@pytest.mark.parametrize("world", [2, 3])
def test_processes_take_turns_and_as_many_steps_as_each_other(source, world):
    every = batches(source)
    num_steps = len(every) // world
    for rank in range(world):
        own = batches(source, rank=rank, world=world)
        assert own == every[rank : num_steps * world : world]


def test_slots_and_samples_are_those_of_the_lists(source):
    """Against the rows themselves: what a batch calls pos is ranked above what it calls neg."""
    lists = some_lists(200)
    rank = {}
    for request in range(200):
        first, last = lists.offsets[request : request + 2]
        for item, place in zip(
            lists.candidates.column("item_id")[first:last].to_pylist(),
            lists.teacher_rank[first:last].tolist(),
            strict=True,
        ):
            rank[request, item] = place
    loader = loader_of(source, SMALL)
    (field,) = loader._make.fields.item
    ids = [None, *field.coder.id.to_pylist()]
    num_pairs = 0
    for chunk in loader.epoch():
        items = [ids[code - field.first] for code in chunk.items.codes[:, 0].tolist()]
        requests = chunk.request_id.take(np.asarray(chunk.request)).to_pylist()
        places = [rank[key] for key in zip(requests, items, strict=True)]
        assert places == chunk.columns["teacher_rank"].tolist()
        drawn = chunk.drawn["pairwise"]
        for pos, neg in zip(drawn.slots["pos"], drawn.slots["neg"], strict=True):
            assert requests[pos] == requests[neg] and places[pos] < places[neg]
            num_pairs += 1
    assert num_pairs > 100


def test_evaluation_reads_the_tables_as_they_stand(source):
    loader = loader_of(source, SMALL)
    found = [
        r for chunk in whole(source, loader._make, SMALL) for r in chunk.request_id.to_pylist()
    ]
    assert found == list(range(200))


def test_a_damaged_part_is_told_as_such(tmp_path):
    source = source_of(tmp_path)
    place = tmp_path / "lists.parquet"
    data = bytearray(place.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    loader = loader_of(source, SMALL)
    place.write_bytes(data)
    with pytest.raises(PlaceError, match="E0204"):
        list(loader.epoch())
