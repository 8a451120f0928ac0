"""What the door's counts mean: that no row is lost, that the log is misread, what to warn of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rankdistill.errors import InputError
from rankdistill.log.days import UNDATED, Asked
from rankdistill.one_pass import Tally
from rankdistill.prepare import Prepared
from rankdistill.samples.sources import LOGGED

BAD_SCORES = ("score_nan", "score_infinite", "score_null")


def check_conservation(prepared: Prepared, tally: Tally, num_rows: tuple[int, int]) -> None:
    """Every row the engine counted was seen at the door, and every seen row has a fate."""
    door = tally.door
    seen = door["rows_in"] if prepared.mapping.options.layout == "rows" else door["requests_in"]
    assert seen == num_rows[0], f"the door saw {seen} of {num_rows[0]} rows"
    assert door["feedback.rows_in"] == num_rows[1], "a row of the feedback table was lost"
    whole = door["where.rows"] or num_rows[0]
    assert whole == door["where.left_out"] + seen, "a row of the files was neither in nor out"
    fates = sum(n for name, n in door.items() if name.startswith(("rejected.", "skipped.")))
    assert door["rows_in"] == door["rows_used"] + fates, "a row has no fate"
    written = sum(counts["candidates"] for counts in tally.by_dt.values())
    assert written == door["rows_used"], "a used row is in no list"


def refuse_empty(tally: Tally) -> None:
    """InputError E0312 where no row is left."""
    if tally.by_dt:
        return
    raise InputError(
        "E0312",
        "no row of the log can be used",
        found=describe_door(tally.door),
        help="`rankdistill explain REASON` says what each reason means; if rows in is 0, the log, "
        "or what log.where leaves of it, is empty",
    )


def judge_days(dts: Collection[str], by_dt: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A warning where days are published without a row."""
    empty = [dt for dt in sorted(dts) if dt != UNDATED and not by_dt.get(dt, {}).get("requests")]
    if not empty:
        return []
    return [
        f"no row of dt={_few(empty)} can be used: the day is there, and empty (Q01 "
        "says of it: used 0); "
        "did its rows arrive, and what does the table rejects say of them?"
    ]


def missing_days(asked: Asked, dts: Collection[str]) -> list[str]:
    """A warning where days were asked for of which neither the log nor the data set has any."""
    missing = [dt for dt in asked.named() if dt not in dts]
    return [f"dt={_few(missing)}: asked for, and not in the log"] if missing else []


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def judge_door(prepared: Prepared, tally: Tally) -> list[str]:
    """Warnings about the rows set aside; raises where they mean that the log is misread."""
    door, options = tally.door, prepared.mapping.options
    zeros, ones = door["rank_zero"], door["rank_one"]
    if options.rank_base == 1 and zeros and zeros >= ones:
        raise InputError(
            "E0303",
            f"{zeros:,} rows have rank 0, but log.rank_base is 1",
            found=f"rank 0 in {zeros:,} rows, rank 1 in {ones:,}",
            help="--set log.rank_base=0 if the log counts ranks from 0",
        )
    bad = {reason: door[f"rejected.{reason}"] for reason in BAD_SCORES}
    warnings = []
    if sum(bad.values()):
        split = ", ".join(f"{name.removeprefix('score_')} {n:,}" for name, n in bad.items())
        text = f"a score is bad in {sum(bad.values()):,} of {door['rows_in']:,} rows"
        if options.on_bad_score == "fail":
            raise InputError("E0301", text, found=split, help="set log.on_bad_score: reject")
        warnings.append(f"{text} ({split}): rows set aside")
    others = {
        name.removeprefix("rejected."): n
        for name, n in sorted(door.items())
        if name.startswith("rejected.") and n and name.removeprefix("rejected.") not in BAD_SCORES
    }
    warnings += [f"{n:,} rows set aside: {reason}" for reason, n in others.items()]
    if door["feedback.rows_in"] and not door["feedback.joined"]:
        warnings.append(
            "no row of the feedback table meets a candidate: are request_id and item_id under "
            "log.feedback.columns the same ids as the log's?"
        )
    if unseen := door["feedback_without_exposure"]:
        warnings.append(
            f"{unseen:,} rows have feedback on an item that was not exposed: it is dropped, so "
            "these items count as not responded to and may be drawn as negatives; is log.stage "
            "right?"
        )
    warnings += [f"file set aside: {path}: {why}" for path, why in prepared.log.skipped]
    return warnings


def advice(prepared: Prepared) -> list[str]:
    """What the chosen samples do on such a log that may not be what is meant."""
    return [
        f"samples.{kind}: {text}"
        for kind, options in prepared.kinds.items()
        for text in options.advise(prepared.facts)
    ]


def judge_grades(total: Mapping[str, int]) -> list[str]:
    """A warning where most lists hold one grade alone."""
    flat, num = total.get("listwise.lists_of_one_grade", 0), total.get("listwise.rows", 0)
    if 2 * flat <= num:
        return []
    return [
        f"samples.listwise: all grades are equal in {flat / num:.0%} of the lists, which teach no "
        "order then: choose a finer samples.listwise.grade, or a longer max_length"
    ]


def judge_negatives(total: Mapping[str, int]) -> list[str]:
    """A warning for each source that often ran short, and where nothing was left to fill in."""
    found = []
    for name, wanted in total.items():
        source = name.removeprefix("negatives.target.")
        short = total.get(f"negatives.short.{source}", 0)
        if source != name and short > 0.2 * wanted:
            found.append(
                f"samples.negatives: {source} lacked {short / wanted:.0%} of what the mix wants of "
                "it; the other sources of the mix filled in, as far as they could"
            )
    if unfilled := total.get("negatives.unfilled", 0):
        found.append(
            f"samples.negatives: {unfilled:,} of {total['negatives.wanted']:,} negatives were "
            "wanted and not there: add a source to the mix (a share of 0 only fills), or lower num"
        )
    return found


def lone_candidates(prepared: Prepared, total: Mapping[str, int]) -> list[str]:
    """A warning where no request has a second candidate for the negatives to be drawn from."""
    options = prepared.kinds.get("negatives")
    num, lone = total.get("requests", 0), total.get("one_candidate_requests", 0)
    if options is None or not num or lone < num:
        return []
    bare = [name for name in options.sources if name in LOGGED]
    if not bare:
        return []
    others = [name for name in options.sources if name not in LOGGED]
    rest = f"only {' and '.join(others)} can supply any" if others else "the table will be empty"
    return [
        "samples.negatives: every request has one candidate, which is its positive or belongs to a "
        f"request without one, so nothing is left for {', '.join(bare)} and {rest}; draw from the "
        "catalogue (popular, uniform), or take samples.pointwise, which needs no second candidate"
    ]


def describe_door(door: Mapping[str, int]) -> str:
    """rows in, used, and per reason, in one line."""
    reasons = [
        f"{name.split('.', 1)[1]} {n:,}"
        for name, n in sorted(door.items())
        if n and name.startswith(("rejected.", "skipped."))
    ]
    head = f"rows in {door.get('rows_in', 0):,}, used {door.get('rows_used', 0):,}"
    return ", ".join([head, *reasons]) + _describe_where(door) + _describe_feedback(door)


def _describe_where(door: Mapping[str, int]) -> str:
    """What log.where left out of the files; nothing where there is no condition."""
    if "where.rows" not in door:
        return ""
    left_out, whole = door["where.left_out"], door["where.rows"]
    return f"; log.where left out {left_out:,} of {whole:,} rows in the files"


def _describe_feedback(door: Mapping[str, int]) -> str:
    """What became of the feedback table's rows; nothing where there is none."""
    rows_in = door.get("feedback.rows_in", 0)
    fates = [
        f"{name.split('.', 1)[1]} {n:,}"
        for name, n in sorted(door.items())
        if n and name.startswith("feedback.") and name != "feedback.rows_in"
    ]
    return f"; feedback rows in {rows_in:,}, {', '.join(fates)}" if rows_in else ""
