"""A look at a log: the one pass that only counts. `validate` and `plan` are made of it."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.engines.query import Engine, Row
from rankdistill.lists.batch import STAGES, Lists
from rankdistill.lists.group import Grouped
from rankdistill.log.door import admit
from rankdistill.one_pass import Recipe, Tally, by_day, draw_day, summed
from rankdistill.prepare import Prepared, left_out, repeated_requests
from rankdistill.samples.bounds import MOST_OF_A_REQUEST, most_drawn, never_drawn, not_too_many
from rankdistill.samples.catalogue import SAMPLERS
from rankdistill.samples.strategies import DeltaNdcgPairs
from rankdistill.weigh import ENOUGH_BYTES, Scale

ADVISED_CAP = 1000  # rows per request that a warning about a blow-up proposes


@dataclass
class Look:
    """tally: as a build counts, and more of each day: stage.<name>, <kind>.capped (rows under
    ADVISED_CAP), pairwise.never_drawn and .drawable, requests_within_top_k, items_not_nfc.
    largest: kind -> (most rows of one request, its id, its candidates). weights: as `weigh.Scale`
    reads them, of the tables that are drawn here."""

    tally: Tally = field(default_factory=Tally)
    largest: dict[str, tuple[int, Any, int]] = field(default_factory=dict)
    weights: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> Counter[str]:
        """The counts of all days together."""
        return summed(self.tally.by_dt)

    def keep_larger(self, kind: str, rows: int, request_id: Any, candidates: int) -> None:
        # Of equally large ones the lowest id, so that tasks may report in any order.
        found = self.largest.get(kind, (-1, None, 0))
        if rows > found[0] or (rows == found[0] and str(request_id) < str(found[1])):
            self.largest[kind] = (rows, request_id, candidates)


@dataclass(frozen=True)
class Shares:
    """What was looked at of all that a build would read: of its requests, of its rows."""

    requests: float = 1.0
    rows: float = 1.0

    @classmethod
    def of(cls, door: Mapping[str, int], meant: float) -> Shares:
        """By what was really drawn, as the door counts all that come in: chance has its part in
        that, and none in the estimates. meant: log.sample_requests, of a build itself."""
        requests, rows = door["requests_in"] * meant, door["rows_in"] * meant
        looked_at = door["requests_in"] - door["requests.not_sampled"]
        rows_looked_at = door["rows_in"] - door["skipped.not_sampled"]
        return cls(looked_at / requests, rows_looked_at / rows)


def look(prepared: Prepared, engine: Engine, share: float = 1.0, *, weigh: bool = False) -> Look:
    """What a build would count on a hashed share of the requests; nothing stays written. weigh:
    what rows of the tables weigh, too."""
    options = prepared.mapping.options
    sampled = options.model_copy(update={"sample_requests": share * options.sample_requests})
    mapping = replace(prepared.mapping, options=sampled)
    repeated = repeated_requests(prepared, engine)
    recipe = replace(prepared, mapping=mapping).recipe("", "plan", repeated)
    seen = Look()
    work = functools.partial(count, recipe, prepared.kinds_of(2), weigh)
    for row in engine.run(prepared.query, work, lambda rows: None):
        value = json.loads(row["value"])
        seen.tally.add(Tally.read(value))
        seen.weights.update(value["weights"])
        for kind, largest in value["largest"].items():
            seen.keep_larger(kind, *largest)
    if prepared.query.where:
        seen.tally.door.update(left_out(prepared, engine, engine.count(prepared.query)[0]))
    return seen


def count(
    recipe: Recipe,
    later: Mapping[str, Any],
    weigh: bool,
    batches: Iterable[Grouped],
    task: str,
) -> Iterator[Row]:
    """Every batch through the door and the kernels, and nothing into parts that stay.

    later: kinds of the second pass, of which only the bounds are known here.
    """
    seen = Look()
    with Scale(ENOUGH_BYTES if weigh else 0) as scale:
        for grouped in batches:
            admitted = admit(grouped, recipe.mapping, recipe.days, recipe.repeated)
            seen.tally.door.update(admitted.counts)
            for dt, lists in by_day(admitted):
                counts = seen.tally.by_dt.setdefault(dt, Counter())
                _draw(recipe, lists, counts, scale)
                for kind, options in later.items():
                    counts[f"{kind}.at_most"] += int(options.most_rows(lists.lengths).sum())
                for kind, options in {**recipe.kinds, **later}.items():
                    _look_at_kind(kind, options, lists, counts, seen)
                _look_at_lists(lists, counts)
        seen.weights = scale.read()
    value = {**seen.tally.as_dict(), "largest": seen.largest, "weights": seen.weights}
    yield {"kind": "look", "value": json.dumps(value)}


def _draw(recipe: Recipe, lists: Lists, counts: Counter[str], scale: Scale) -> None:
    """Draws and counts what a build would; weighs some of it."""
    fitting = _that_fit(recipe, lists, counts)
    for piece in not_too_many(fitting.kinds, lists):
        if recipe.write_lists and scale.wants("lists"):
            scale.add("lists", piece.rows())
        for kind, drawn in draw_day(fitting, piece, counts):
            if scale.wants(kind):
                scale.add(kind, SAMPLERS[kind].gather(piece, drawn))


def _that_fit(recipe: Recipe, lists: Lists, counts: Counter[str]) -> Recipe:
    """`recipe` without the kinds that a build would refuse: their bound stands for their rows."""
    kinds = {}
    for kind, options in recipe.kinds.items():
        if most_drawn(options, lists.lengths).max(initial=0) <= MOST_OF_A_REQUEST:
            kinds[kind] = options
            continue
        most = int(options.most_rows(lists.lengths).sum())
        for name in ("at_most", "rows", "rows_not_drawn"):
            counts[f"{kind}.{name}"] += most
    return replace(recipe, kinds=kinds)


def _look_at_kind(kind: str, options: Any, lists: Lists, counts: Counter[str], seen: Look) -> None:
    most = options.most_rows(lists.lengths)
    if len(most):
        at = int(np.argmax(most))
        request_id = lists.requests.column("request_id")[at].as_py()
        seen.keep_larger(kind, int(most[at]), request_id, int(lists.lengths[at]))
    counts[f"{kind}.capped"] += int(np.minimum(most, ADVISED_CAP).sum())
    if kind == "pairwise" and isinstance(options.strategy, DeltaNdcgPairs):
        flat, pairs = never_drawn(lists, options.strategy, options.top_k)
        counts["pairwise.never_drawn"] += flat
        counts["pairwise.drawable"] += pairs
    if kind == "pointwise" and "rank" in options.rules:
        counts["requests_within_top_k"] += int((lists.num_ranked <= options.top_k).sum())


def _look_at_lists(lists: Lists, counts: Counter[str]) -> None:
    found = np.bincount(lists.stage, minlength=max(STAGES.values()) + 1)
    for name, code in STAGES.items():
        counts[f"stage.{name}"] += int(found[code])
    counts["items_not_nfc"] += num_not_nfc(lists.candidates.column("item_id"))


def num_not_nfc(ids: pa.Array) -> int:
    """Ids of text that are not in Unicode's form NFC: another id than the one they look like."""
    if not pa.types.is_string(ids.type) or pc.all(pc.string_is_ascii(ids)).as_py() is not False:
        return 0
    return int(pc.sum(pc.not_equal(pc.utf8_normalize(ids, "NFC"), ids)).as_py() or 0)
