"""What of the block `evaluate` does not fit the lists of a build, told before a row is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from rankdistill.errors import ConfigError, closest
from rankdistill.quality.segments import OWN_EACH, segment_columns, segment_faults
from rankdistill.student.evaluation.options import EvaluateOptions, Tiers

CHANNEL = "recall_channel"
# Days may differ, and an evaluation is of several: here they make segments.
NO_SEGMENT = {name: why for name, why in OWN_EACH.items() if name != "dt"}


def segments_of(options: EvaluateOptions, lists: pa.Schema) -> tuple[str, ...]:
    """The request columns that make segments."""
    return segment_columns(options.segments.columns, _requests(lists))


def option_faults(options: EvaluateOptions, lists: pa.Schema) -> Iterator[ConfigError]:
    """lists: the schema of the table; what is a list there is a column of candidates."""
    named, key = options.segments.columns, ("evaluate", "segments", "columns")
    yield from segment_faults(named, _requests(lists), key, NO_SEGMENT)
    if options.own_channel is not None and CHANNEL not in lists.names:
        yield ConfigError(
            "E0102",
            "evaluate.own_channel: the log's candidates have no recall channel",
            found=options.own_channel,
            help=f"map log.columns.{CHANNEL} and build again, or leave own_channel out",
            key=("evaluate", "own_channel"),
        )
    for place, policy in enumerate(options.policies or ()):
        if isinstance(policy, Tiers):
            yield from _inner_faults(policy.inner, _numbers(lists), place)


def _inner_faults(name: str, known: Sequence[str], place: int) -> Iterator[ConfigError]:
    near = closest(name, known)
    if name not in known:
        yield ConfigError(
            "E0102",
            f"evaluate.policies: {name} is no number of candidates to sort tiers by",
            found=f"{name}; known are {', '.join(known)}",
            help=f'did you mean "{near}"?' if near else "name one of those as inner",
            key=("evaluate", "policies", place, "inner"),
        )


def _requests(lists: pa.Schema) -> list[str]:
    return [field.name for field in lists if not pa.types.is_list(field.type)]


def _numbers(lists: pa.Schema) -> list[str]:
    """Columns of candidates that are numbers."""
    listed = [field for field in lists if pa.types.is_list(field.type)]
    is_number = (pa.types.is_integer, pa.types.is_floating)
    return [f.name for f in listed if any(of(f.type.value_type) for of in is_number)]
