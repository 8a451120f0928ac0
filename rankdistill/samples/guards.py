"""What may not be drawn as a negative: cut from pools, mined lists and the catalogue alike.

Guards act before anything is drawn and are counted: of the items that the mix could have drawn
for a request, how many each guard cut, every item under the first guard that cut it.
Shapes: N candidates, R requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdistill.catalogue.history import Keys
from rankdistill.config import Options
from rankdistill.lists.batch import Lists, owners
from rankdistill.samples.margins import too_close
from rankdistill.samples.side import look_up

GUARDS = ("positive", "responded", "exposed", "history", "future", "margin")
CODE = {name: code for code, name in enumerate(GUARDS, start=1)}


@dataclass(frozen=True)
class Outside:
    """Guarded items that are no candidates of their request, int64 [E]; code: of the guard."""

    request: np.ndarray
    key: np.ndarray
    code: np.ndarray


@dataclass(frozen=True)
class Guarded:
    """code: the first guard against each candidate, 0 for none, int8 [N]; outside: likewise for
    items of the user's history or future; is_unmeasured: the margin cannot be told, bool [N]."""

    code: np.ndarray
    outside: Outside
    is_unmeasured: np.ndarray


def guard(
    lists: Lists,
    is_positive: np.ndarray,
    key: np.ndarray,
    *,
    allow_exposed: bool,
    history: Keys | None,
    future: Keys | None,
    margin: Options | None,
) -> Guarded:
    """Every guard over a batch; key: xxh64 of the candidates' ids [N], for history and future."""
    close = unmeasured = np.zeros(len(is_positive), dtype=bool)
    if margin is not None:
        close, unmeasured = too_close(lists, is_positive, margin)
    cuts = {"margin": close, "responded": lists.responded, "positive": is_positive}
    if not allow_exposed:
        cuts["exposed"] = lists.exposed

    parts, code = [], np.zeros(len(is_positive), dtype=np.int8)
    for name, keys in (("history", history), ("future", future)):
        if keys is not None and len(keys.key):
            cuts[name], outside = _in_window(lists, key, keys, CODE[name])
            parts.append(outside)
    for name in reversed(GUARDS):
        if name in cuts:
            code[cuts[name]] = CODE[name]
    return Guarded(code, _together(parts), unmeasured)


def _in_window(lists: Lists, key: np.ndarray, keys: Keys, code: int) -> tuple[np.ndarray, Outside]:
    """Candidates among `keys` (bool [N]), and the keys that are no candidate."""
    candidate, at = look_up(keys, lists.request, key)
    is_in, is_outside = np.zeros(len(key), dtype=bool), np.ones(len(keys.key), dtype=bool)
    is_in[candidate], is_outside[at] = True, False
    request = owners(keys.offsets)[is_outside]
    return is_in, Outside(request, keys.key[is_outside], np.full(len(request), code, np.int8))


def _together(parts: list[Outside]) -> Outside:
    """Each (request, key) once, under its first guard, ascending."""
    if len(parts) == 1:
        return parts[0]
    empty = Outside(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.int8))
    parts = parts or [empty]
    request = np.concatenate([part.request for part in parts])
    key = np.concatenate([part.key for part in parts])
    code = np.concatenate([part.code for part in parts])
    order = np.lexsort((code, key, request))
    request, key, code = request[order], key[order], code[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (request[1:] != request[:-1]) | (key[1:] != key[:-1])
    return Outside(request[is_first], key[is_first], code[is_first])
