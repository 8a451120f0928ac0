"""What the lists of training tell of users and items: how often, since when; and the items.

Shapes: V distinct keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from rankdistill.hashing import U64, xxh64
from rankdistill.lists.batch import Lists

DAY = 86_400e6  # microseconds
NEVER = np.iinfo(np.int64).max


@dataclass
class Tally:
    """Keys (uint64 [V] ascending) with their count and the first time (int64, microseconds)."""

    key: np.ndarray = field(default_factory=lambda: np.zeros(0, U64))
    count: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    first: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, key: np.ndarray, time: np.ndarray) -> None:
        """Each key once for each time it stands there."""
        keys = np.concatenate([self.key, key])
        self.key, at = np.unique(keys, return_inverse=True)
        ones = np.ones(len(key), np.int64)
        count = np.bincount(at, np.concatenate([self.count, ones]), len(self.key))
        first = np.full(len(self.key), NEVER)
        np.minimum.at(first, at, np.concatenate([self.first, time]))
        self.count, self.first = count.astype(np.int64), first

    def count_of(self, key: np.ndarray) -> np.ndarray:
        """float64 [n]; 0 of an unknown key."""
        at, is_known = self._at(key)
        return np.where(is_known, self.count[at], 0.0) if len(self.key) else np.zeros(len(key))

    def days_since(self, key: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Days from the key's first time to `time`, float64 [n]; 0 of an unknown key."""
        if not len(self.key):
            return np.zeros(len(key))
        at, is_known = self._at(key)
        return np.where(is_known, np.maximum((time - self.first[at]) / DAY, 0.0), 0.0)

    def _at(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.minimum(np.searchsorted(self.key, key), max(len(self.key) - 1, 0))
        return at, (self.key[at] == key) if len(self.key) else np.zeros(len(key), bool)


@dataclass
class Known:
    """users: by the requests of training; items: by its candidates."""

    users: Tally = field(default_factory=Tally)
    items: Tally = field(default_factory=Tally)

    def add(self, lists: Lists) -> None:
        """Requests of training."""
        time = times(lists)
        self.users.add(xxh64(lists.requests.column("user_id")), time)
        self.items.add(xxh64(lists.candidates.column("item_id")), time[lists.request])


def times(lists: Lists) -> np.ndarray:
    """request_time of each request, int64 [R] in microseconds; NEVER where there is none."""
    column = lists.requests.column("request_time")
    return column.cast(pa.int64()).fill_null(int(NEVER)).to_numpy(zero_copy_only=False)
