"""Which columns of requests measures are told by (`quality.segments`, of samples, and
`evaluate.segments.columns`, of students)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rankdistill.errors import ConfigError, closest

USUAL = ("teacher_version", "scene", "bucket")  # where nothing is said and they are mapped
OWN_EACH = {
    "request_id": "each request has its own",
    "user_id": "each user has its own, and a segment is to hold many",
    "request_time": "nearly each request has its own",
    "dt": "every measure is told by day anyway",
}


def segment_columns(named: Sequence[str] | None, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that make segments; columns: of requests, beside our own."""
    return tuple(named if named is not None else (name for name in USUAL if name in columns))


def segment_faults(
    named: Sequence[str] | None,
    requests: Sequence[str],
    key: tuple[str, ...] = ("quality", "segments"),
    own_each: Mapping[str, str] = OWN_EACH,
) -> Iterator[ConfigError]:
    """What is wrong with the setting `key`; requests: the columns of the built requests;
    own_each: which of them make no segments, and why."""
    known = [name for name in requests if name not in own_each]
    for place, name in enumerate(named or ()):
        near = closest(name, known)
        if name in known:
            continue
        why = own_each.get(name, "no column of requests is called so (log.columns)")
        yield ConfigError(
            "E0102",
            f"{'.'.join(key)}: {name} makes no segments: {why}",
            found=f"{name}; known are {', '.join(known) or '(none)'}",
            help=f'did you mean "{near}"?' if near else "name columns of few values, or none: []",
            key=(*key, place),
        )
