"""Measures gathered batch by batch: what each request adds to them, so that they can be told of
all requests, of some, and of requests drawn anew.

Shapes: R requests; columns of a measure [R, c].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rankdistill.student.evaluation.feedback import auc_terms
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.measures import AUC, terms


def value(sums: np.ndarray) -> np.ndarray:
    """The measure of the sums of its columns [..., c]: top / bottom, or a / p + b / n of four;
    NaN where nothing counts."""
    tops, bottoms = sums[..., 0::2], sums[..., 1::2]
    ratios = np.divide(tops, bottoms, out=np.full(tops.shape, np.nan), where=bottoms > 0)
    return ratios.sum(axis=-1)


class Collected:
    """names: of measures, `auc` among them where it is wanted."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.num_requests = 0
        self._found: dict[str, list[np.ndarray]] = {n: [] for n in self.names if n != AUC}
        self._shown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, judged: Judged) -> None:
        for name, found in self._found.items():
            found.append(np.stack(terms(judged, name), axis=1))
        if AUC in self.names:
            shown = judged.exposed()
            request = shown.request + self.num_requests
            self._shown.append((request, shown.score, shown.columns["responded"]))
        self.num_requests += judged.num_requests

    def put(self, name: str, columns: np.ndarray) -> None:
        """A measure that was made elsewhere, of all requests at once."""
        assert len(columns) == self.num_requests, name
        self.names += (name,)
        self._found[name] = [columns]

    def columns(self, name: str, requests: np.ndarray | None = None) -> np.ndarray:
        """What each request adds to the measure, float64 [R, c]; of some requests alone (their
        numbers, ascending), the AUC is among these."""
        if name == AUC:
            return self._auc(requests)
        whole = np.concatenate([np.zeros((0, 2)), *self._found[name]])
        return whole if requests is None else whole[requests]

    def _auc(self, requests: np.ndarray | None) -> np.ndarray:
        request, score, label = self.shown()
        if requests is None:
            return auc_terms(request, score, label, self.num_requests)
        number = np.full(self.num_requests, -1)
        number[requests] = np.arange(len(requests))
        held = number[request] >= 0
        return auc_terms(number[request[held]], score[held], label[held], len(requests))

    def shown(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(request, score, whether responded to) of every exposed candidate."""
        none = (np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, bool))
        request, score, label = zip(none, *self._shown, strict=True)
        return np.concatenate(request), np.concatenate(score), np.concatenate(label)

    def value(self, name: str) -> float | None:
        """Over all requests; None where none has one."""
        found = float(value(self.columns(name).sum(axis=0)))
        return None if np.isnan(found) else found

    def values(self, names: Sequence[str] | None = None) -> dict[str, float | None]:
        return {name: self.value(name) for name in (names or self.names)}
