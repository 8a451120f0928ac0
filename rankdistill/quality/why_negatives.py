"""Why each candidate of one request is a negative, might have been, or never can be.

Read by `preview --why`; the rows themselves come from the table, as a draw also depends on the
catalogue of the days before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rankdistill.hashing import xxh64
from rankdistill.lists.batch import Lists
from rankdistill.samples.guards import GUARDS, guard
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.positives import positive_mask
from rankdistill.samples.side import Side
from rankdistill.samples.sources import CATALOGUE, MINED, pools

# Of each guard, why it keeps a candidate out.
CUT = {
    "positive": "positive of this request: never a negative",
    "responded": "responded to: never a negative",
    "exposed": "exposed: no negative (allow_exposed: false)",
    "history": "responded to before, within history_window: no negative",
    "future": "responded to later, within future_window: no negative",
    "margin": "too close to the weakest positive (margin): no negative",
}
assert tuple(CUT) == GUARDS


def why_negatives(
    lists: Lists, rows: Iterable[Mapping[str, Any]], options: NegativesOptions, side: Side
) -> np.ndarray:
    """A text for each candidate; rows: the request's rows of the table `negatives`."""
    item_id = lists.candidates.column("item_id")
    is_positive, _ = positive_mask(lists, options)
    guarded = guard(
        lists,
        is_positive,
        xxh64(item_id),
        allow_exposed=bool(options.allow_exposed),
        history=side.history,
        future=side.future,
        margin=options.margin,
    )
    mix = options.mix_at(0)
    sources, pool = tuple(mix), pools(lists, tuple(mix), options.tail, options.top_k)
    beside = [name for name in sources if name in (*CATALOGUE, MINED)]
    easy = [name for name in beside if name in CATALOGUE]
    nor = f", nor from {', '.join(easy)}" if easy else ""
    sizes = np.bincount(pool[(pool >= 0) & (guarded.code == 0)], minlength=len(sources))
    drawn: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        drawn.setdefault(row["item_id"], []).append(row)

    why = np.full(len(pool), None, dtype=object)
    for place, item in enumerate(item_id.to_pylist()):
        if item in drawn:
            why[place] = "; ".join(map(_drawn, drawn[item]))
        elif guarded.code[place]:
            why[place] = CUT[GUARDS[guarded.code[place] - 1]]
        elif not is_positive.any():
            why[place] = "no positive in this request, so no negative is drawn"
        elif pool[place] >= 0:
            name, size = sources[pool[place]], sizes[pool[place]]
            why[place] = f"in the pool {name} of {size}: not drawn, by chance{nor}"
        elif beside:
            why[place] = f"in no pool of the mix; not drawn from {', '.join(beside)}"
        else:
            why[place] = f"in no pool of the mix ({', '.join(sources)})"
    return why


def _drawn(row: Mapping[str, Any]) -> str:
    pair = f" beside {row['pos_item_id']}" if row.get("pos_item_id") is not None else ""
    numbers = f"p={row['probability']:.3g}, q={row['item_q']:.3g}"
    return f"negative ({row['source']}){pair}, drawn ({numbers})"


def outside_rows(
    lists: Lists, rows: Iterable[Mapping[str, Any]], side: Side
) -> list[dict[str, Any]]:
    """A plain row for each negative that is no candidate, and one for what the guards kept out."""
    logged = set(lists.candidates.column("item_id").to_pylist())
    found: list[dict[str, Any]] = [
        {
            "place": None,
            "item_id": row["item_id"],
            "stage": "not logged",
            "negatives": f"{_drawn(row)}: none of the guarded items",
        }
        for row in rows
        if row["item_id"] not in logged
    ]
    keys = xxh64(lists.candidates.column("item_id"))
    for name, given in (("history", side.history), ("future", side.future)):
        num = 0 if given is None else int((~np.isin(given.key, keys)).sum())
        if num:
            text = f"{num:,} items, {CUT[name]}"
            found.append({"place": None, "item_id": None, "stage": "not logged", "negatives": text})
    return found
