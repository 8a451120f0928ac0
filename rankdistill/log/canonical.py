"""Raw candidate rows to canonical candidate columns, with the first fault of each row."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.hashing import mix, xxh64
from rankdistill.lists.batch import EXPOSED, PRERANKED, RANKED, STAGES, not_null, numbers
from rankdistill.log import casts
from rankdistill.log.mapping import MappedField, Mapping
from rankdistill.log.reasons import Verdict
from rankdistill.log.source import (
    StageConstant,
    StageFromColumn,
    StageFromFlags,
    StageFromPresence,
)

MAX_ID_BYTES = 16_384
RANK_STAGES = {"rank": RANKED, "rerank_rank": STAGES["reranked"], "position": EXPOSED}


@dataclass(frozen=True)
class Candidates:
    """Canonical columns of N candidate rows; `verdict` says which of them may be used."""

    columns: dict[str, pa.Array]
    stage: np.ndarray
    verdict: Verdict
    counts: dict[str, int]


def evaluate(mapped: MappedField, raw: pa.RecordBatch) -> casts.Cast:
    """The canonical column of one field over raw rows."""
    column = mapped.column
    if column.constant is not None:
        return casts.cast(mapped.kind, _constant(column.constant, raw.num_rows), column.unit)
    sources = [casts.plain(raw.column(alias)) for alias in mapped.aliases]
    if column.hash_of is not None:
        keys = mix(*(xxh64(_hashable(source)) for source in sources))
        absent = absent_parts(mapped, sources)
        return pa.array(keys.view(np.int64), mask=absent), None
    return casts.cast(mapped.kind, sources[0], column.unit)


def absent_parts(mapped: MappedField, parts: list[pa.Array]) -> np.ndarray:
    """bool [n]: the columns of a `hash_of` make no value. A user may lack a feature; a key of
    which a part is null is no key."""
    first, *others = map(missing, parts)
    every = np.logical_or if mapped.name == "request_id" else np.logical_and
    return functools.reduce(every, others, first)


def missing(column: pa.Array) -> np.ndarray:
    """bool [n]: null, or the empty string."""
    is_text = pa.types.is_string(column.type)
    if not (is_text or column.null_count):
        return np.zeros(len(column), dtype=bool)
    absent = column.is_null()
    if is_text:
        absent = pc.or_(absent, pc.equal(pc.binary_length(column), 0).fill_null(True))
    return absent.to_numpy(zero_copy_only=False)


def too_long(column: pa.Array) -> np.ndarray | None:
    """bool [n]: more bytes than an id may have; None where it is no text."""
    if not pa.types.is_string(column.type):
        return None
    found = pc.greater(pc.binary_length(column), MAX_ID_BYTES).fill_null(False)
    return found.to_numpy(zero_copy_only=False)


def canonical(mapping: Mapping, raw: pa.RecordBatch) -> Candidates:
    """The candidate columns of `mapping` over raw rows (N); nothing is dropped here."""
    verdict = Verdict(raw.num_rows)
    columns: dict[str, pa.Array] = {}
    for mapped in mapping.candidate:
        columns[mapped.name], bad = evaluate(mapped, raw)
        verdict.against(bad, "value_unreadable")
    if columns["item_id"].null_count or pa.types.is_string(columns["item_id"].type):
        verdict.against(missing(columns["item_id"]), "item_id_missing")
        verdict.against(too_long(columns["item_id"]), "id_too_long")
    stage = _stage(mapping, raw, columns, verdict)
    counts: dict[str, int] = {}
    for name, least in RANK_STAGES.items():
        if name in columns:
            columns[name] = _based(
                mapping, columns[name], name, stage if least <= EXPOSED else None, verdict, counts
            )
    _check_scores(mapping, columns, stage, verdict)
    return Candidates(columns, stage, verdict, counts)


def _constant(value: object, size: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), size)


def _hashable(column: pa.Array) -> pa.Array:
    simple = pa.types.is_integer(column.type) or pa.types.is_string(column.type)
    return column if simple else column.cast(pa.string())


def _based(
    mapping: Mapping,
    column: pa.Array,
    name: str,
    stage: np.ndarray | None,
    verdict: Verdict,
    counts: dict[str, int],
) -> pa.Array:
    """Ranks from 1; cleared where the item never came to that ranker; below the base is a fault."""
    options = mapping.options
    present = not_null(column) if column.null_count else None
    values, as_it_is = numbers(column, np.int32), options.rank_base == 1
    if stage is not None and not isinstance(options.stage, StageFromPresence):
        idle = stage < RANK_STAGES[name]
        here = idle if present is None else idle & present
        if here.any():
            counts[f"{name}_before_its_stage"] = int(np.count_nonzero(here))
            present = ~idle if present is None else present & ~idle
            as_it_is = False
    if name == "rank" and options.rank_base == 1:
        counts["rank_one"] = int(np.count_nonzero(values == 1))
    below = values < options.rank_base
    if below.any():
        below = below if present is None else below & present
        counts[f"{name}_zero"] = int((below & (values == 0)).sum())
        verdict.against(below, "rank_below_base")
    if as_it_is:
        return column
    values = values + np.int32(1 - options.rank_base)
    return pa.array(values, mask=None if present is None else ~present)


def _check_scores(
    mapping: Mapping, columns: dict[str, pa.Array], stage: np.ndarray, verdict: Verdict
) -> None:
    for mapped in mapping.candidate:
        if mapped.kind != "score":
            continue
        column = columns[mapped.name]
        values = numbers(column, np.float64)
        if np.isfinite(values).all():
            continue
        null = ~not_null(column)
        verdict.against(np.isnan(values) & ~null, "score_nan")
        verdict.against(np.isinf(values), "score_infinite")
        if mapped.name == "teacher_score":
            verdict.against(null & (stage >= RANKED), "score_null")


def clear_unexposed(mapping: Mapping, candidates: Candidates, counts: Counter[str]) -> None:
    """Feedback is null where the item was not exposed; responses logged there are counted."""
    hidden = candidates.stage < EXPOSED
    if not knows_exposure(mapping) or not hidden.any():
        return
    unseen = np.zeros(len(hidden), dtype=bool)
    for name in mapping.feedback_names:
        column = candidates.columns[name]
        present = not_null(column)
        stray = hidden & present
        if stray.any():
            values = numbers(column, np.float64)
            unseen |= stray & (values > 0)
            candidates.columns[name] = pa.array(values, mask=hidden | ~present)
    unseen &= candidates.verdict.passed
    counts["feedback_without_exposure"] += int(np.count_nonzero(unseen))


def knows_exposure(mapping: Mapping) -> bool:
    """Whether the log can tell exposed candidates from others."""
    rule = mapping.options.stage
    if isinstance(rule, StageConstant):
        return False
    if isinstance(rule, StageFromPresence):
        return mapping.candidate_field("position") is not None
    if isinstance(rule, StageFromFlags):
        return "exposed" in rule.flags
    return not rule.values or "exposed" in rule.values.values()


def _stage(
    mapping: Mapping, raw: pa.RecordBatch, columns: dict[str, pa.Array], verdict: Verdict
) -> np.ndarray:
    rule, size = mapping.options.stage, raw.num_rows
    if isinstance(rule, StageConstant):
        return np.full(size, STAGES[rule.stage], dtype=np.int8)
    if isinstance(rule, StageFromFlags):
        stage = _stage_from_flags(mapping, rule, raw, columns, verdict)
    elif isinstance(rule, StageFromColumn):
        stage = _stage_from_column(mapping, rule, raw)
    else:
        return _stage_from_presence(columns, size)
    verdict.against(stage == 0, "stage_unknown")
    return stage


def _stage_from_flags(
    mapping: Mapping,
    rule: StageFromFlags,
    raw: pa.RecordBatch,
    columns: dict[str, pa.Array],
    verdict: Verdict,
) -> np.ndarray:
    stage = np.zeros(raw.num_rows, dtype=np.int8)
    substage = np.zeros(raw.num_rows, dtype=np.int8)
    for label, (alias,) in mapping.stage:  # furthest first
        name, flag = label.split(":", 1)
        column, bad = casts.cast("flag", raw.column(alias))
        verdict.against(bad, "value_unreadable")
        is_set = (stage == 0) & (np.nan_to_num(numbers(column, np.float64)) != 0)
        stage[is_set] = STAGES[name]
        substage[is_set] = rule.substages.get(flag, 0)
    if rule.substages and "substage" not in columns:
        columns["substage"] = pa.array(substage.astype(np.int32), mask=substage == 0)
    return stage


def _stage_from_column(mapping: Mapping, rule: StageFromColumn, raw: pa.RecordBatch) -> np.ndarray:
    (_, (alias,)) = mapping.stage[0]
    encoded = casts.plain(raw.column(alias)).dictionary_encode()
    known: dict[str, str] = dict(rule.values) or {name: name for name in STAGES}
    codes = [STAGES.get(known.get(_name(v.as_py()), ""), 0) for v in encoded.dictionary]
    table = np.array([*codes, 0], dtype=np.int8)
    indices = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    return table[indices]


def _name(value: object) -> str:
    """A source value as the keys of stage.values name it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _stage_from_presence(columns: dict[str, pa.Array], size: int) -> np.ndarray:
    stage = np.full(size, STAGES["recalled"], dtype=np.int8)
    evidence = (
        ("prerank_score", PRERANKED),
        ("teacher_score", RANKED),
        ("rank", RANKED),
        ("rerank_rank", STAGES["reranked"]),
        ("position", EXPOSED),
    )
    for name, reached in evidence:
        if name in columns and not columns[name].null_count:
            stage[:] = reached
        elif name in columns:
            np.copyto(stage, reached, where=not_null(columns[name]))
    return stage
