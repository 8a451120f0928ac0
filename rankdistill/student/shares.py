"""How often each item is a positive of training: what a draw of negatives from a batch goes by.

Negatives that are other requests' positives come in proportion to it, and the law of a mixture
with uniform draws follows (Yang et al. 2020, mixed negative sampling). Shapes: V items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rankdistill.hashing import mix, name_key
from rankdistill.samples.lots import below
from rankdistill.samples.positives import PositiveOptions, positive_mask
from rankdistill.student.reading import ListsSource
from rankdistill.student.vocabulary import Counting, Vocabulary

UNIFORM = "train.uniform"


@dataclass(frozen=True)
class Shares:
    """items: every item of the training lists; positives: int64 [V], how often each is one of
    them; uniform: items that each request draws from all of them."""

    items: Vocabulary
    positives: np.ndarray
    uniform: int

    def draw(self, request_key: np.ndarray, seed: int, epoch: int) -> tuple[np.ndarray, pa.Array]:
        """(request of each uniform draw, int64 ascending; its item)."""
        request = np.repeat(np.arange(len(request_key)), self.uniform)
        number = np.tile(np.arange(self.uniform), len(request_key))
        bits = mix(seed, name_key(UNIFORM), request_key[request], number, epoch)
        at = below(bits, np.full(len(bits), len(self.positives)))
        return request, self.items.id.take(pa.array(at))

    def of_positives(self, key: np.ndarray) -> np.ndarray:
        """The share of each item (its key, uint64 [n]) among the positives, float64; 0 of one
        that is none."""
        code = self.items.codes_of_keys(key)
        count = np.append(0, self.positives)
        return count[code] / max(int(self.positives.sum()), 1)


def shares_of(source: ListsSource, options: PositiveOptions, uniform: int) -> Shares:
    """Counted on the lists that are trained on."""
    counting = Counting()
    for piece in source.pieces:
        lists = source.read([piece])
        ids = lists.candidates.column("item_id")
        is_positive, _ = positive_mask(lists, options)
        # Those that never are one stay, with a count of 0.
        counting.add(ids, is_positive.astype(np.int64))
    items = counting.vocabulary(0)
    return Shares(items, items.count, uniform)
