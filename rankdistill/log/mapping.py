"""A log's mapping as it was bound: which source columns are read, and what each of them means.

Engines read the `paths` of a mapping under the aliases s0, s1, ... and know nothing else of
the log; what the columns mean is decided here, on Arrow batches, the same in every engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from rankdistill.lists.group import IS_FEEDBACK
from rankdistill.log.casts import IDS, KINDS
from rankdistill.log.lookup import Lookup, MappedField, Path
from rankdistill.log.source import LogOptions

# Canonical columns and their kinds.
REQUEST_FIELDS = {"request_id": "id", "user_id": "id", "request_time": "time", "dt": "text"}
CANDIDATE_FIELDS = {
    "item_id": "id",
    "substage": "substage",
    "rank": "rank",
    "rerank_rank": "rank",
    "position": "rank",
    "teacher_score": "score",
    "prerank_score": "score",
    "recall_channel": "any",
}
# A log that uses our own names needs no mapping for these.
OWN_NAMES = (*REQUEST_FIELDS, *CANDIDATE_FIELDS)
ORDER_NEEDS = {"rerank": "rerank_rank", "position": "position", "score": "teacher_score"}
ID_TYPES = {"int": pa.int64(), "text": pa.string()}  # what `as` makes of ids
ABOVE_ZERO = 5e-324

Groups = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Mapping:
    """A log's columns bound to a source schema. Plain data: it travels to the workers.

    stage: (stage:flag, aliases) furthest first, ("column", aliases), or empty.
    groups: names of the open groups request, item and feedback, as the tables have them.
    ids: alias -> int or text, of those paths that engines hand over read so, as requests are
        told apart by what their ids are read as.
    """

    options: LogOptions
    paths: dict[str, Path]
    request: tuple[MappedField, ...]
    candidate: tuple[MappedField, ...]
    stage: tuple[tuple[str, tuple[str, ...]], ...]
    groups: Groups = field(default_factory=dict)
    feedback_paths: dict[str, Path] = field(default_factory=dict)
    feedback_fields: tuple[MappedField, ...] = ()
    ids: dict[str, str] = field(default_factory=dict)

    def request_field(self, name: str) -> MappedField | None:
        return next((f for f in self.request if f.name == name), None)

    def candidate_field(self, name: str) -> MappedField | None:
        return next((f for f in self.candidate if f.name == name), None)

    @property
    def group_aliases(self) -> tuple[str, ...]:
        """The source columns that together are the request's identity."""
        key = self.request_field("request_id")
        assert key is not None
        return key.aliases

    @property
    def key_aliases(self) -> tuple[str, ...]:
        """The same as engines compare them: read as the ids that they are."""
        return tuple(self._key(alias) for alias in self.group_aliases)

    @property
    def feedback_key(self) -> str | None:
        """What meets them in a feedback table."""
        return self._key(self.feedback_fields[0].aliases[0]) if self.feedback_fields else None

    def _key(self, alias: str) -> str:
        return read_id(alias) if read_id(alias) in self.ids else alias

    @property
    def feedback_names(self) -> tuple[str, ...]:
        return self.groups["feedback"]

    @property
    def response(self) -> dict[str, float]:
        """Least value of each feedback column that counts as a response (default: above 0)."""
        return dict(self.options.response or dict.fromkeys(self.feedback_names, ABOVE_ZERO))


def read_id(alias: str) -> str:
    """The alias of the ids that a source column is read as."""
    return f"{alias}_id"


def raw_schema(mapping: Mapping, log: pa.Schema, feedback: pa.Schema | None = None) -> pa.Schema:
    """The columns that an engine delivers for `mapping`, by alias."""
    reader = Lookup(mapping.options, log)
    columns = [(alias, reader.type_at(path)) for alias, path in mapping.paths.items()]
    if mapping.options.feedback is not None and feedback is not None:
        second = Lookup(mapping.options.feedback, feedback)
        columns += [(a, second.type_at(path)) for a, path in mapping.feedback_paths.items()]
        columns.append((IS_FEEDBACK, pa.bool_()))
    return pa.schema([(a, ID_TYPES.get(mapping.ids.get(a, ""), kind)) for a, kind in columns])


assert {*REQUEST_FIELDS.values(), *CANDIDATE_FIELDS.values(), *IDS} <= set(KINDS)
