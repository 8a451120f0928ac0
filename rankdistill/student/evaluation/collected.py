"""Measures gathered batch by batch: what each request adds to them, so that they can be told of
all requests, of some, and of requests drawn anew.

Shapes: R requests; columns of a measure [R, c].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from rankdistill.hashing import U64
from rankdistill.student.evaluation.conventions import Conventions
from rankdistill.student.evaluation.feedback import auc_terms, gauc, in_groups
from rankdistill.student.evaluation.intervals import Quantity
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.measures import AUC, GAUC, terms


class Collected:
    """names: of measures, `auc` among them where it is wanted. Of those in which requests meet
    (`auc`, and `gauc` by user) exposed candidates are kept, of others what each request adds."""

    def __init__(self, names: Iterable[str], conventions: Conventions | None = None) -> None:
        self.names = tuple(names)
        self.num_requests = 0
        self._conventions = conventions or Conventions()
        self._by_user = GAUC in self.names and self._conventions.gauc_by == "user"
        apart = {AUC, *([GAUC] if self._by_user else [])}
        self._found: dict[str, list[np.ndarray]] = {n: [] for n in self.names if n not in apart}
        self._shown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._user: list[np.ndarray] = []

    def add(self, judged: Judged) -> None:
        for name, found in self._found.items():
            found.append(np.stack(terms(judged, name), axis=1))
        if AUC in self.names or self._by_user:
            shown = judged.exposed()
            request = shown.request + self.num_requests
            self._shown.append((request, shown.score, shown.columns["responded"]))
        if self._by_user:
            assert judged.user is not None
            self._user.append(judged.user)
            self.__dict__.pop("users", None)
        self.num_requests += judged.num_requests

    def put(self, name: str, columns: np.ndarray) -> None:
        """A measure that was made elsewhere, of all requests at once."""
        assert len(columns) == self.num_requests, name
        self.names += (name,)
        self._found[name] = [columns]

    def columns(self, name: str) -> np.ndarray:
        """What each request adds to the measure, float64 [R, c]."""
        return self._auc(None) if name == AUC else np.concatenate([_NO_ROW, *self._found[name]])

    def quantity(self, name: str, requests: np.ndarray | None = None) -> Quantity:
        """The measure over all requests or over some (their numbers, ascending): those alone
        are whom the candidates of an AUC meet."""
        if name == GAUC and self._by_user:
            return self._of_users(requests)
        if name == AUC:
            return Quantity(self._auc(requests), requests)
        whole = self.columns(name)
        return Quantity(whole if requests is None else whole[requests], requests)

    def _auc(self, requests: np.ndarray | None) -> np.ndarray:
        request, score, label = self.shown(requests)
        if requests is None:
            return auc_terms(request, score, label, self.num_requests)
        number = np.searchsorted(requests, request)
        return auc_terms(number, score, label, len(requests))

    def _of_users(self, requests: np.ndarray | None) -> Quantity:
        request, score, label = self.shown(requests)
        key, code = self.users
        by_user = in_groups(code[request], score, label, len(key), self._conventions)
        columns = np.stack(gauc(by_user), axis=1).astype(np.float64)
        some = np.flatnonzero(columns[:, 1])
        return Quantity(columns[some], some, "user")

    @cached_property
    def users(self) -> tuple[np.ndarray, np.ndarray]:
        """(keys of all users, uint64 [U] ascending; the number of each request's among them)."""
        key, code = np.unique(np.concatenate([_NO_KEY, *self._user]), return_inverse=True)
        return key, code

    def shown(
        self, requests: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(request, score, whether responded to) of every exposed candidate of some requests."""
        none = (np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, bool))
        request, score, label = map(np.concatenate, zip(none, *self._shown, strict=True))
        if requests is None:
            return request, score, label
        is_one = np.zeros(self.num_requests, bool)
        is_one[requests] = True
        held = is_one[request]
        return request[held], score[held], label[held]

    def value(self, name: str) -> float | None:
        """Over all requests; None where none has one."""
        found = self.quantity(name).value
        return None if np.isnan(found) else found

    def values(self, names: Sequence[str] | None = None) -> dict[str, float | None]:
        return {name: self.value(name) for name in (names or self.names)}


_NO_ROW, _NO_KEY = np.zeros((0, 2)), np.zeros(0, U64)
