"""A fresh student's embeddings out of the teacher's: a table of vectors for each field given.

A wider vector is projected on the principal directions of all of its width that are taken over,
of all fields together, so that inner products between fields are kept as well as the student's
width can keep them; of a narrower one the rest stays as it was drawn.
Shapes: n vectors taken over, W numbers of a teacher's vector, D of the student's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from rankdistill.errors import unknown
from rankdistill.log.files import open_files
from rankdistill.log.source import TableSource
from rankdistill.log.vectors import VectorTable, read_vectors
from rankdistill.store.files import sha256
from rankdistill.student.device import moved
from rankdistill.student.embedding import EmbeddingTable
from rankdistill.student.fields.encode import Fields, RowField
from rankdistill.student.vocabulary import UNKNOWN, Vocabulary

_PIECE = 2**16  # vectors projected at once
KEY = "train.start.vectors"


@dataclass(frozen=True)
class Taken:
    """What a field takes over: rows of the embedding table, int64 [n], and where in `value`
    (float32 [V, W], mapped from a file) the vector of each stands, int64 [n]."""

    name: str
    rows: np.ndarray
    at: np.ndarray
    value: np.ndarray
    num_values: int

    @property
    def width(self) -> int:
        return int(self.value.shape[1])

    def told(self, dim: int) -> dict[str, Any]:
        """values: of the field; found: of them those with a vector; given: vectors."""
        return {
            "values": self.num_values,
            "found": len(self.rows),
            "given": len(self.value),
            "width": self.width,
            "projected": self.width > dim,
        }


def start_from(
    table: EmbeddingTable, fields: Fields, dim: int, given: Mapping[str, VectorTable]
) -> dict[str, Any]:
    """Take the teacher's vectors over into the first `dim` numbers of the rows of `table`, in
    place; how many values of each field found one, as JSON values.

    given: by the column of a field. Raises ConfigError E0107 (no such field with a vocabulary)
    and as `read_vectors`.
    """
    with TemporaryDirectory(prefix="rankdistill-start-") as scratch:
        taken = [
            _taken(fields, column, own, Path(scratch) / f"{number}.npy")
            for number, (column, own) in enumerate(given.items())
        ]
        for width in sorted({each.width for each in taken}):
            _put(table, dim, [each for each in taken if each.width == width])
        return {each.name: each.told(dim) for each in taken}


def _taken(fields: Fields, column: str, given: VectorTable, file: Path) -> Taken:
    known = {each.column: each for each in fields.own_rows() if _has_words(each)}
    if column not in known:
        raise unknown("E0107", f"{KEY}: a field of the column", column, [*known], f"{KEY}.")
    field = known[column]
    assert isinstance(field.coder, Vocabulary)
    vectors = read_vectors(given, f"{KEY}.{column}", file)
    code = field.coder.codes_of_keys(vectors.key)
    at = np.flatnonzero(code != UNKNOWN)
    return Taken(field.name, field.first + code[at], at, vectors.value, field.coder.size - 1)


def _has_words(field: RowField) -> bool:
    return isinstance(field.coder, Vocabulary)


def _put(table: EmbeddingTable, dim: int, taken: Sequence[Taken]) -> None:
    """Vectors of one width into the table."""
    width = taken[0].width
    basis = np.eye(width)
    if width > dim:
        gram = np.zeros((width, width))
        for each in taken:
            for at in _pieces(each.at):
                held = each.value[at].astype(np.float64)
                gram += held.T @ held
        basis = principal(gram, dim)
    for each in taken:
        for at, rows in zip(_pieces(each.at), _pieces(each.rows), strict=True):
            found = (each.value[at].astype(np.float64) @ basis).astype(np.float32)
            device = table.weight.device
            table.weight[moved(rows, device), : found.shape[1]] = moved(found, device)


def _pieces(values: np.ndarray) -> list[np.ndarray]:
    return [values[first : first + _PIECE] for first in range(0, len(values), _PIECE)]


def principal(gram: np.ndarray, dim: int) -> np.ndarray:
    """The D principal directions [W, D] of vectors with this sum of outer products [W, W], each
    with its largest number above 0."""
    _, directions = np.linalg.eigh(gram)
    found = directions[:, ::-1][:, :dim]
    largest = found[np.abs(found).argmax(0), np.arange(dim)]
    return np.asarray(found * np.where(largest < 0, -1.0, 1.0))


def content(given: Mapping[str, VectorTable]) -> dict[str, list[str]]:
    """The hashes of the tables' files, by field."""
    found = {}
    for column, own in given.items():
        files = open_files(TableSource(path=own.path, format="parquet")).files
        found[column] = [sha256(Path(file.path)) for file in files]
    return found
