"""The measures of samples against plain Python over the written rows, for all and by segment."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from rankdistill.quality.measures import MEASURES
from tests.quality.samples_kit import MIX, Built, Scene, build, deal, facts_of, options_of, scene
from tests.samples.negatives_kit import is_positive, quantile

Told = dict[str, float | None]  # "" is the value, "n" of how many, else a part
KINDS = {
    "pointwise": options_of("pointwise", top_k=3, weight={"kind": "reciprocal"}),
    "pairwise": options_of("pairwise", top_k=5, allow_exposed=True, max_pairs_per_request=9),
    "listwise": options_of("listwise", max_length=6, grade={"kind": "score_quantile"}),
    "negatives": options_of("negatives", top_k=2, num=6, mix=MIX, history_window="1d"),
}
SHOWN = {
    "negatives": options_of(
        "negatives",
        student="prerank",
        positives="feedback",
        mix={"exposed_unclicked": 0.6, "tail": 0.4},
        num=5,
        history_window=None,
    )
}


def part(a: float, b: float) -> float | None:
    return a / b if b else None


def grades(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    held = Counter(grade for row in rows["listwise"] for grade in row["grade"])
    num = sum(held.values())
    entropy = -sum(n / num * math.log(n / num) for n in held.values()) if num else 0
    shares = {f"share.{g}": part(held[g], num) for g in range(6)} if num else {}
    return {"": entropy / math.log(6) if num else None, "n": num, **shares}


def coverage(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    pairs = Counter(row["request_id"] for row in rows["pairwise"])
    num = sorted(pairs[request] for request, of in members.items() if len(of) >= 2)
    return {
        "": part(sum(n > 0 for n in num), len(num)),
        "n": len(num),
        "mean": part(sum(num), len(num)),
        "p50": num[len(num) // 2] if num else None,
        "at_cap": part(sum(n == 9 for n in num), len(num)),
    }


def margin(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    gaps = [row["margin"] for row in rows["pairwise"] if row["margin"] is not None]
    return {
        "": part(sum(abs(gap) < 0.75 for gap in gaps), len(gaps)),
        "n": len(gaps),
        "inverted": part(sum(gap < 0 for gap in gaps), len(gaps)),
    }


def orientation(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    found = []
    for row in rows["negatives"]:
        if row["source"] == "exposed_unclicked":
            place = {c["item_id"]: c["position"] for c in members[row["request_id"]]}
            shown = [c["position"] for c in members[row["request_id"]] if c["responded"]]
            found += [(p, place[row["item_id"]]) for p in shown]
    apart = [(p, q) for p, q in found if p != q and p and q]
    return {"": part(sum(p < q for p, q in apart), len(apart)), "n": len(apart)}


def mass(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    told: Told = {"n": 0}
    for kind, rank in (("pointwise", "rank"), ("pairwise", "pos_rank")):
        weights = [(row["weight"], row[rank]) for row in rows[kind]]
        total, squares = (sum(w**n for w, _ in weights) for n in (1, 2))
        if weights:
            told["n"] += len(weights)
            told[f"{kind}.ess"] = total**2 / (len(weights) * squares)
            told[f"{kind}.first"] = sum(w for w, r in weights if r == 1) / total
    found = {what: [v for k, v in told.items() if k.endswith(what)] for what in ("ess", "first")}
    return {**told, "": min(found["ess"], default=None), "first": max(found["first"], default=None)}


def false_negatives(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    """Of all three kinds, by ids alone."""
    window, bad, num = timedelta(days=1), Counter(), Counter()
    for kind, column in (
        ("pointwise", "item_id"),
        ("pairwise", "neg_item_id"),
        ("negatives", "item_id"),
    ):
        options = KINDS[kind]
        for row in rows[kind]:
            if kind == "pointwise" and row["label"]:
                continue
            own = {c["item_id"]: c for c in members[row["request_id"]]}.get(row[column])
            is_own = own is not None and own["responded"]
            if own is not None and kind != "pairwise":
                is_own = is_own or is_positive(own, options)
            past = kind == "negatives" and any(
                user == row["user_id"]
                and item == row[column]
                and row["request_time"] - window <= time < row["request_time"]
                for user, time, item in given.events
            )
            num[kind] += 1
            bad[kind] += is_own
            bad["past"] += past
    return {
        "": part(sum(bad.values()), sum(num.values())),
        "n": sum(num.values()),
        "past": part(bad["past"], num["negatives"]),
        **{kind: part(bad[kind], num[kind]) for kind in num},
    }


def later(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    newest, told = max(time for _, time, _ in given.events), Told()
    known = [row for row in rows["negatives"] if row["user_id"] is not None]
    for name, hours in (("1h", 1), ("1d", 24), ("7d", 168)):
        horizon = timedelta(hours=hours)
        open_rows = [row for row in known if row["request_time"] + horizon <= newest]
        hits = [
            row
            for row in open_rows
            if any(
                (user, item) == (row["user_id"], row["item_id"])
                and row["request_time"] < time <= row["request_time"] + horizon
                for user, time, item in given.events
            )
        ]
        told[f"within_{name}"] = part(len(hits), len(open_rows))
        told[f"censored_{name}"] = part(len(known) - len(open_rows), len(known))
        for source in {row["source"] for row in known}:
            of = [row["source"] == source for row in open_rows]
            hit = sum(row["source"] == source for row in hits)
            told[f"within_{name}.{source}"] = part(hit, sum(of))
        if name == "1h":
            told |= {"": told["within_1h"], "n": len(open_rows)}
        if name == "1d":
            told["hard_over_easy"] = hard_over_easy(open_rows, hits)
    return told


def hard_over_easy(told: list[dict], hits: list[dict]) -> float | None:
    def num(rows: list[dict], *, easy: bool) -> int:
        return sum((row["source"] == "popular") == easy for row in rows)

    hard, easy = (part(num(hits, easy=e), num(told, easy=e)) for e in (False, True))
    return hard / easy if num(hits, easy=True) >= 20 and hard is not None else None


def near(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    found = []
    for row in rows["negatives"]:
        of = members[row["request_id"]]
        scored = [c for c in of if c["teacher_score"] is not None]
        own = [c for c in scored if c["item_id"] == row["item_id"]]
        positives = [quantile(c, of) for c in scored if is_positive(c, KINDS["negatives"])]
        if own and positives:
            found.append(quantile(own[0], of) > Fraction(19, 20) * min(positives))
    num = len(rows["negatives"]) if found else 0
    return {"": part(sum(found), num), "n": num, "scored": part(len(found), num)}


def hardness(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    by_source: dict[str, list[float]] = {}
    for row in rows["negatives"]:
        if row["difficulty"] is not None:
            by_source.setdefault(row["source"], []).append(row["difficulty"])
    mean = {source: sum(of) / len(of) for source, of in by_source.items()}
    staged = [s for s in ("recall_dropped", "prerank_dropped", "tail") if s in mean]
    steps = [mean[b] - mean[a] for a, b in pairwise(staged)]
    num = sum(len(by_source[s]) for s in staged) if steps else 0
    return {"": min(steps, default=None), "n": num, **{f"mean.{s}": m for s, m in mean.items()}}


def exposed(given: Scene, built: Built, rows: dict, members: dict) -> Told:
    """Pairs of these options may have exposed negatives, so they do not count."""
    points = [(r["request_id"], r["item_id"]) for r in rows["pointwise"] if not r["label"]]
    found = points + [(r["request_id"], r["item_id"]) for r in rows["negatives"]]
    shown = {(q, c["item_id"]) for q, of in members.items() for c in of if c["exposed"]}
    return {"": part(sum(key in shown for key in found), len(found)), "n": len(found)}


ORACLES: dict[str, Callable[[Scene, Built, dict, dict], Told]] = {
    "Q13": grades,
    "Q14": coverage,
    "Q15": margin,
    "Q17": mass,
    "Q19": false_negatives,
    "Q20": later,
    "Q21": near,
    "Q22": hardness,
    "Q33": exposed,
}


def shift(kind, lists, drawn):
    """The first negative of every other request replaced by the first candidate: a
    positive, exposed, responded to, as it comes."""
    if kind == "negatives":
        first = np.unique(drawn.request, return_index=True)[1]
        rows = first[lists.request_key[drawn.request[first]] % np.uint64(2) == 0]
        drawn.item[rows] = lists.offsets[drawn.request[rows]]
    return drawn


def check(given: Scene, built: Built, measure: str, oracle: Callable) -> Iterable[float]:
    """Every number of the oracle, for all rows and for each user."""
    found = built.judged(measure)
    users = {row["request_id"]: row["user_id"] for row in map(with_user, given.rows)}
    readings = {None: found.reading}
    readings |= {name: reading for name, (reading, _) in found.segments.items()}
    assert len(readings) == 1 + len({*users.values()})
    for segment, reading in readings.items():
        wanted = None if segment is None else segment.removeprefix("user_id=")
        mine = {r for r, user in users.items() if wanted is None or str(user) == wanted}
        rows = {
            kind: [row for row in of if row["request_id"] in mine]
            for kind, of in built.tables.items()
        }
        members = {r: of for r, of in given.members().items() if r in mine}
        told = oracle(given, built, rows, members)
        assert reading.n == told.pop("n"), (measure, segment)
        for name, value in told.items():
            own = reading.value if name == "" else reading.parts[name]
            expected = None if value is None else pytest.approx(float(value), rel=1e-4, abs=1e-6)
            assert own == expected, (measure, segment, name)
            yield float(value or 0)


def with_user(row: dict) -> dict:
    """A request without candidates has the builder's default user."""
    return row if "item_id" in row else {**row, "user_id": "u"}


@pytest.mark.parametrize("kind", [int, str])
@pytest.mark.parametrize("measure", ORACLES)
def test_a_measure_says_what_plain_rows_say_whole_and_by_segment(measure, kind):
    given = scene(3, kind=kind)
    facts = facts_of(KINDS)
    loose = {**KINDS, "negatives": KINDS["negatives"].model_copy(update={"history_window": None})}
    built = build(given, loose, facts=facts, tamper=shift)
    assert any(check(given, built, measure, ORACLES[measure]))  # some number is not 0


def test_a_horizon_begins_behind_the_request_and_ends_with_its_last_moment():
    given, facts = scene(3), facts_of(KINDS)
    loose = {"negatives": KINDS["negatives"].model_copy(update={"history_window": None})}
    drawn = [r for r in build(given, loose, facts=facts).tables["negatives"] if r["user_id"]]
    spans = [timedelta(hours=h, microseconds=m) for h in (0, 1, 24, 168) for m in (0, 1)]
    given.events = [
        (row["user_id"], row["request_time"] + spans[n % len(spans)], row["item_id"])
        for n, row in enumerate(drawn)
    ]
    for ends in (drawn[0]["request_time"] + span for span in spans[2:]):
        known = [event for event in given.events if event[1] <= ends]
        some = replace(given, events=[*known, ("another", ends, 0)])
        assert any(check(some, build(some, loose, facts=facts), "Q20", later))


def test_orientation_is_that_of_the_positions_shown():
    given = scene(5, 200)
    options = SHOWN["negatives"].model_copy(update={"per": "request"})
    built = build(given, {"negatives": options})
    assert any(check(given, built, "Q16", orientation))


def test_orientation_per_positive_takes_the_rows_own_positive():
    given = scene(5, 200)
    built = build(given, {"negatives": SHOWN["negatives"].model_copy(update={"per": "positive"})})
    members, apart = given.members(), []
    for row in built.tables["negatives"]:
        place = {c["item_id"]: c["position"] for c in members[row["request_id"]]}
        if row["source"] == "exposed_unclicked":
            apart.append((place[row["pos_item_id"]], place[row["item_id"]]))
    apart = [(p, q) for p, q in apart if p and q and p != q]
    reading = built.judged("Q16").reading
    assert reading.n == len(apart) > 0
    assert reading.value == part(sum(p < q for p, q in apart), len(apart))


@pytest.mark.parametrize("seed", range(4))
def test_states_are_the_same_however_requests_are_dealt_to_batches(seed):
    given = scene(seed)
    num = given.lists().num_requests
    for kinds in (KINDS, SHOWN):
        whole, dealt = (
            build(given, kinds, batches=batches, tamper=shift if kinds is KINDS else keep)
            for batches in (None, deal(num, seed))
        )
        assert states(whole) == states(dealt)


def keep(kind, lists, drawn):
    return drawn


def states(built: Built) -> dict:
    return {measure: json.loads(found.as_json()) for _, measure, found in built.states}


def test_measures_of_nothing_say_nothing():
    given = Scene([{"request_id": 1}], [], {})
    built = build(given, KINDS)
    for measure in (*ORACLES, "Q16", "Q18"):
        found = built.judged(measure)
        assert found.verdict == "not applicable", measure
        assert (found.reading.value, found.reading.n) == (None, 0), measure
        assert found.why, measure


def test_every_sample_measure_says_why_it_does_not_apply():
    bare = facts_of({})
    for measure in (*ORACLES, "Q16", "Q18"):
        assert MEASURES[measure].applies(bare), measure
