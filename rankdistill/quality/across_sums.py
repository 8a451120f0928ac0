"""Rows of `across.TABLE`, brought together by key, as states of measures; and what is made of
the counts of a day's items once they are all there.

Shapes: T rows in G groups of equal key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from rankdistill.catalogue.ticks import power
from rankdistill.hashing import mix
from rankdistill.lists.batch import owners
from rankdistill.lists.group import Grouped
from rankdistill.quality.across import CONTENT, ITEM, LOGGED, REQUEST, SAMPLED, SPLITS, USER
from rankdistill.quality.state import ALL, MAX_EXAMPLES, Number, States

TRAIN, VALID, TEST = (SPLITS.index(name) for name in ("train", "valid", "test"))
RAW = "across"  # counts of items by how often they occur: no measure's state yet
SERIES = ("logged", "positive", "drawn")
# Buckets of popularity: ranks 1, 2-3, 4-7, ...
NUM_BUCKETS = 48
MASS = 2**40  # of all items under a law, as integers


def summed(grouped: Grouped) -> States:
    """What the rows of a batch say. Rows of a key are all there, of one kind."""
    states = States()
    rows = _Rows(grouped)
    for kind, read in ((CONTENT, _content), (REQUEST, _requests), (USER, _users), (ITEM, _items)):
        of_kind = rows.of(kind)
        if len(of_kind.group):
            read(of_kind, states)
    return states


class _Rows:
    """The columns of some rows; group: int64 [T], ascending, dense."""

    def __init__(self, grouped: Grouped, keep: np.ndarray | None = None) -> None:
        self._grouped = grouped
        group = owners(grouped.offsets)
        self.rows = grouped.rows if keep is None else grouped.rows.filter(pa.array(keep))
        group = group if keep is None else group[keep]
        is_first = np.ones(len(group), dtype=bool)
        is_first[1:] = group[1:] != group[:-1]
        self.starts, self.group = np.flatnonzero(is_first), np.cumsum(is_first) - 1

    def of(self, kind: int) -> _Rows:
        return _Rows(self._grouped, self["kind"] == kind)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.rows.column(name).to_numpy(zero_copy_only=False)

    def any(self, flag: np.ndarray) -> np.ndarray:
        """bool [G]: of each group, whether one of its rows has the flag (bool [T])."""
        return np.logical_or.reduceat(flag, self.starts)

    def days(self) -> Iterator[tuple[str, np.ndarray]]:
        """(dt, bool [T])."""
        encoded = self.rows.column("day").dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        for code, dt in enumerate(encoded.dictionary.to_pylist()):
            yield dt, codes == code


def _content(rows: _Rows, states: States) -> None:
    """Equal content: Q03 within a minute, Q28 between train and what comes after it."""
    request, minute, split, group = rows["request"], rows["minute"], rows["flag"], rows.group
    order = np.lexsort((request, minute, group))
    run_of = _runs(order, group, minute)
    pairs = _runs(order, group, minute, request)
    # Distinct requests of a run: those of its pairs (run, request).
    first_of_pair = np.unique(pairs[order], return_index=True)[1]
    num_requests = np.bincount(run_of[order][first_of_pair])
    is_repeated = num_requests[run_of] > 1
    is_train = split == TRAIN
    train_in_run = np.bincount(run_of, is_train) > 0
    train_in_group = rows.any(is_train)
    for dt, own in rows.days():
        found = states.of(dt, "Q03")
        found.add_numbers({"requests": int(own.sum()), "repeated": int((own & is_repeated).sum())})
        found.keep(_examples(rows, own & is_repeated, "user, items and minute of another request"))
        found = states.of(dt, "Q28")
        for name, code in (("valid", VALID), ("test", TEST)):
            of_split = own & (split == code)
            leaked, same = of_split & train_in_run[run_of], of_split & train_in_group[group]
            numbers = {name: of_split, f"leaked.{name}": leaked, f"same.{name}": same}
            found.add_numbers({key: int(flag.sum()) for key, flag in numbers.items()})
            found.keep(_examples(rows, same, f"{name}; a train request has its user and items"))


def _runs(order: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """The number of each row's run of equal keys, int64 [T]; order: sorts the rows by them."""
    changes = np.zeros(len(order), dtype=bool)
    for key in keys:
        changes[1:] |= key[order][1:] != key[order][:-1]
    run = np.empty(len(order), dtype=np.int64)
    run[order] = np.cumsum(changes)
    return run


def _requests(rows: _Rows, states: States) -> None:
    """Request ids in two splits (Q27)."""
    split = rows["flag"]
    num = np.sum([rows.any(split == code) for code in (TRAIN, VALID, TEST)], axis=0)
    is_torn = np.isin(split, (TRAIN, VALID, TEST)) & (num > 1)[rows.group]
    for dt, own in rows.days():
        found = states.of(dt, "Q27")
        found.add_numbers({"in_two_splits": int((own & is_torn).sum())})
        found.keep(_examples(rows, own & is_torn, "the request id is in two splits"))


def _users(rows: _Rows, states: States) -> None:
    """Users in the log and in samples (Q26); a group is of one day."""
    flag = rows["flag"]
    logged, sampled = rows.any(flag == LOGGED), rows.any(flag == SAMPLED)
    for dt, own in rows.days():
        of_day = own[rows.starts]
        numbers = {"users.logged": logged & of_day, "users.sampled": sampled & of_day}
        found = states.of(dt, "Q26")
        found.add_numbers({name: int(flags.sum()) for name, flags in numbers.items()})


def _items(rows: _Rows, states: States) -> None:
    """How often each item was drawn as a negative; a group is an item of one day."""
    popular, uniform, other = (
        np.add.reduceat(rows[f"num_{name}"], rows.starts)
        for name in ("popular", "uniform", "other")
    )
    counted = rows["num_counted"][rows.starts]  # the same in every task
    drawn = popular + uniform + other
    for dt, own in rows.days():
        of_day = own[rows.starts]
        found = states.of(dt, RAW)
        found.segments.setdefault(ALL, {}).update(
            drawn=occurrences(drawn[of_day]),
            popular=occurrences(counted[of_day], popular[of_day]),
            uniform=occurrences(counted[of_day], uniform[of_day]),
        )
        found.keep(_most_drawn(rows, np.flatnonzero(of_day), drawn))


def _most_drawn(rows: _Rows, of_day: np.ndarray, drawn: np.ndarray) -> list[list[Any]]:
    """Examples of the lowest first field are kept: here, those that were drawn most often."""
    key = rows["key"][rows.starts]
    top = of_day[np.lexsort((key[of_day], -drawn[of_day]))[:MAX_EXAMPLES]]
    items = rows.rows.column("item_id").take(pa.array(rows.starts[top])).to_pylist()
    told = zip(drawn[top].tolist(), key[top].tolist(), items, strict=True)
    return [[(-n << 64) + k, None, item, f"drawn {n:,} times"] for n, k, item in told]


def _examples(rows: _Rows, flag: np.ndarray, note: str) -> list[list[Any]]:
    at = np.flatnonzero(flag)
    hashed = mix(0, 0, rows["request"][at])
    lowest = np.argsort(hashed, kind="stable")[:MAX_EXAMPLES]
    ids = rows.rows.column("request_id").take(pa.array(at[lowest])).to_pylist()
    return [[h, r, None, note] for h, r in zip(hashed[lowest].tolist(), ids, strict=True)]


def occurrences(values: np.ndarray, number: np.ndarray | None = None) -> dict[str, int]:
    """{value: how many have it, or the sum of their `number`}, without zeros."""
    if number is None and len(values) and values.min() >= 0 and values.max() < 4 * len(values):
        held = np.bincount(values)
        return {str(v): int(held[v]) for v in np.flatnonzero(held).tolist()}
    found, place = np.unique(values, return_inverse=True)
    held = np.zeros(len(found), dtype=np.int64)
    np.add.at(held, place, 1 if number is None else number)
    return {str(v): n for v, n in zip(found.tolist(), held.tolist(), strict=True) if n}


def settle(
    states: States,
    items: Mapping[str, Mapping[str, Number]],
    catalogues: Mapping[str, Mapping[str, int]],
    law: Mapping[str, float] | None,
) -> States:
    """The states of measures, from sums of all rows of the days.

    items: dt -> {logged, positive: {occurrences: items}, sampled: items} of `items`;
    catalogues: dt -> {count: items} of what popular negatives were drawn from; law: alpha and c.
    """
    made = States()
    for dt, measure, found in states:
        if measure != RAW:
            made.of(dt, measure).add(found)
    for dt in sorted({*states.days(), *items}):
        raw = states.day(dt).get(RAW)
        numbers = {**(raw.segments.get(ALL, {}) if raw else {}), **items.get(dt, {})}
        coverage = {}
        for name in SERIES:
            held = numbers.get(name)
            if isinstance(held, dict) and held:
                made.of(dt, "Q25").add_numbers(inequality(held, name))
                coverage[f"items.{name}"] = sum(held.values())
        if isinstance(numbers.get("sampled"), int):
            coverage["items.sampled"] = numbers["sampled"]  # type: ignore[assignment]
        if coverage:
            made.of(dt, "Q26").add_numbers(coverage)
        if raw is not None:
            made.of(dt, "Q23").add_numbers(_repetition(raw.segments[ALL]["drawn"]))
            made.of(dt, "Q23").keep(raw.examples)
            if law is not None and catalogues.get(dt):
                bucketed = by_popularity(catalogues[dt], raw.segments[ALL], law)
                made.of(dt, "Q24").segments[ALL] = bucketed
    return made


def inequality(held: Mapping[str, int], name: str) -> dict[str, int]:
    """What the Gini coefficient of occurrences is made of: items m, their sum, and the moment
    sum (2k - m - 1) x_(k), k = 1 .. m ascending."""
    num, total, moment, below = sum(held.values()), 0, 0, 0
    for value, items in sorted((int(v), n) for v, n in held.items()):
        # k runs over below + 1 .. below + items.
        moment += value * (2 * below * items + items * (items + 1) - items * (num + 1))
        total, below = total + value * items, below + items
    return {f"{name}.items": num, f"{name}.rows": total, f"{name}.moment": moment}


def _repetition(held: Number) -> dict[str, int]:
    assert isinstance(held, dict)
    rows = sum(int(value) * items for value, items in held.items())
    return {"rows": rows, "items": sum(held.values()), "top": max(map(int, held), default=0)}


def by_popularity(
    catalogue: Mapping[str, int], drawn: Mapping[str, Number], law: Mapping[str, float]
) -> dict[str, Number]:
    """Items, draws and what laws say, by log2 of the popularity rank.

    An item's rank is 1 + the number of items with a higher count; of equal counts, equal ranks.
    """
    counts = sorted(((int(c), n) for c, n in catalogue.items()), reverse=True)
    value, items = (np.array(column, dtype=np.int64) for column in zip(*counts, strict=True))
    bucket = [int(rank).bit_length() - 1 for rank in (np.cumsum(items) - items + 1).tolist()]
    place = dict(zip(value.tolist(), bucket, strict=True))
    found: dict[str, Number] = {"items": _filled(bucket, items.tolist())}
    weights = {
        "law": power(value + law["c"], law["alpha"]) * items,
        "alpha_1": (value + law["c"]) * items,
        "uniform": items.astype(np.float64),
    }
    for name, weight in weights.items():
        share = np.rint(weight / max(sum(weight.tolist()), 1e-300) * MASS).astype(np.int64)
        found[f"mass.{name}"] = _filled(bucket, share.tolist())
    for name in ("popular", "uniform"):
        held = drawn[name]
        assert isinstance(held, dict)
        known = [(place[int(c)], n) for c, n in held.items() if int(c) in place]
        found[f"drawn.{name}"] = _filled([b for b, _ in known], [n for _, n in known])
    return found


def _filled(buckets: list[int], numbers: list[int]) -> list[int]:
    held = [0] * NUM_BUCKETS
    for bucket, number in zip(buckets, numbers, strict=True):
        held[bucket] += number
    return held
