"""The formats that samples can be handed over in. A format is a page and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rankdistill.export.asked import Asked
from rankdistill.export.easyrec import easyrec
from rankdistill.export.folder import Folder
from rankdistill.export.libsvm import libsvm, lightgbm
from rankdistill.export.shapes import labeled_list, n_tuple, n_tuple_scores, triplet
from rankdistill.export.source import Source
from rankdistill.export.tfrecord import tfrecord


@dataclass(frozen=True)
class Format:
    """tables: what it can be made of. reads: the options of `Asked` that it has a use for."""

    write: Callable[[Source, str, Asked, Folder], None]
    tables: tuple[str, ...]
    reads: tuple[str, ...]


PAIRS = ("pairwise", "negatives")
TEXTS = ("anchor", "anchor_text", "item_text")

FORMATS = {
    "triplet": Format(triplet, PAIRS, TEXTS),
    "n-tuple": Format(n_tuple, PAIRS, (*TEXTS, "num_negatives")),
    "n-tuple-scores": Format(n_tuple_scores, PAIRS, (*TEXTS, "num_negatives")),
    "labeled-list": Format(labeled_list, ("listwise", *PAIRS), TEXTS),
    "libsvm": Format(libsvm, ("listwise",), ("features",)),
    "lightgbm": Format(lightgbm, ("listwise",), ("features",)),
    "tfrecord": Format(tfrecord, ("pointwise", "listwise", *PAIRS), ()),
    "easyrec": Format(easyrec, PAIRS, ()),
}
