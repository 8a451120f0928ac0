"""What holds for every measure of lists: sums, segments, empty lists, a clean log, one defect."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from rankdistill.quality.measures import MEASURES
from tests.quality.lists_kit import (
    FACTS,
    awkward,
    bad,
    changed,
    clean,
    lists_of,
    split,
    told,
    watched,
)

MINE = ("Q05", "Q07", "Q08", "Q09", "Q10", "Q11", "Q12", "funnel")
PROBABILITY = replace(FACTS, score_kind="probability")


@pytest.mark.parametrize("seed", range(5))
def test_states_are_the_same_however_requests_are_dealt(seed: int) -> None:
    lists = lists_of([*awkward(seed=seed), *changed(clean(40), renamed)])
    whole, dealt = watched([lists], PROBABILITY), watched(split(lists, seed), PROBABILITY)
    assert {m: r.as_json() for _, m, r in whole} == {m: r.as_json() for _, m, r in dealt}


def renamed(row: dict) -> dict:
    return {"request_id": row["request_id"] + 1000}


@pytest.mark.parametrize("measure", MINE)
def test_a_segment_reads_as_a_log_of_its_requests_alone(measure: str) -> None:
    rows = [*awkward(), *changed(clean(60), renamed)]
    whole = told(measure, rows, PROBABILITY)
    assert set(whole.segments) == {"scene=home", "scene=search", "scene=None"}
    for scene in ("home", "search", None):
        alone = told(measure, [r for r in rows if r["scene"] == scene], PROBABILITY)
        reading, verdict = whole.segments[f"scene={scene}"]
        assert (reading, verdict) == (alone.reading, alone.verdict)


@pytest.mark.parametrize("measure", MINE)
@pytest.mark.parametrize("rows", [[{"request_id": 1}], [{"request_id": 1, "item_id": 1}]])
def test_lists_without_anything_to_measure_have_no_value(measure: str, rows: list[dict]) -> None:
    found = told(measure, rows, PROBABILITY).reading
    assert (found.value is None) == (found.n == 0)
    assert found.value in (None, 0.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num", [3, 30, 300])
def test_a_clean_log_of_any_size_fires_nothing(seed: int, num: int) -> None:
    assert bad(clean(num, seed=seed), PROBABILITY) == set()


def every(number: int, of: str = "request_id") -> Callable[[dict], bool]:
    return lambda row: row[of] % number == 0


def with_rank_3_lost(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["rank"] != 3]


def with_position_2_twice(rows: list[dict]) -> list[dict]:
    return changed(rows, lambda r: {"position": 2} if r["position"] == 3 else {})


def rounded(rows: list[dict]) -> list[dict]:
    return changed(rows, lambda r: {"teacher_score": round(r["teacher_score"], 1)})


def with_tails_upside_down(rows: list[dict]) -> list[dict]:
    scores = {(r["request_id"], r["rank"]): r["teacher_score"] for r in rows}
    last = max(r["rank"] for r in rows)
    return changed(
        rows,
        lambda r: (
            {}
            if r["position"]
            else {"teacher_score": scores[r["request_id"], last + 9 - r["rank"]]}
        ),
    )


def overstated(rows: list[dict]) -> list[dict]:
    return changed(rows, lambda r: {"teacher_score": 0.5 + r["teacher_score"] / 2})


def with_random_clicks(rows: list[dict]) -> list[dict]:
    draw = random.Random(1)
    return changed(rows, lambda r: {"click": float(draw.random() < 0.2)} if r["position"] else {})


def collapsed(rows: list[dict]) -> list[dict]:
    flat = {"teacher_score": 0.2}
    return changed(
        rows,
        lambda r: {**flat, "teacher_score": 0.2 - 1e-10 * r["rank"]} if every(5)(r) else {},
    )


def scaled_up(rows: list[dict]) -> list[dict]:
    return changed(rows, lambda r: {"teacher_score": 1e4 * r["teacher_score"]})


DEFECTS = {
    with_rank_3_lost: ("Q05", {"Q05"}),
    with_position_2_twice: ("Q05", {"Q05"}),
    rounded: ("Q07", {"Q07"}),
    with_tails_upside_down: ("Q08", {"Q08"}),
    overstated: ("Q09", {"Q09"}),
    with_random_clicks: ("Q10", {"Q10", "Q09"}),  # clicks that the score does not know
    collapsed: ("Q11", {"Q11", "Q09"}),  # and what is shown clicks more than 0.2
    scaled_up: ("Q12", {"Q12"}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_one_defect_fires_its_measure(defect: Callable[[list[dict]], list[dict]]) -> None:
    measure, allowed = DEFECTS[defect]
    facts = FACTS if defect is scaled_up else PROBABILITY
    assert {measure} <= bad(defect(clean()), facts) <= allowed


def test_examples_name_requests_and_what_is_wrong_with_them() -> None:
    rows = [row for row in with_position_2_twice(clean(30)) if row["rank"] != 12]
    notes = {note for _, _, _, note in told("Q05", rows).examples}
    assert notes == {"rank: gap", "position: repeat"}
    assert len(told("Q05", rows).examples) == 20
    assert {e[1] for e in told("Q08", with_tails_upside_down(clean(30))).examples} <= set(range(30))


def test_measures_say_why_they_do_not_apply() -> None:
    unscored = replace(FACTS, has_score=False, score_kind=None)
    assert {
        m: MEASURES[m].applies(unscored) for m in ("Q07", "Q08", "Q11", "Q12")
    } == dict.fromkeys(("Q07", "Q08", "Q11", "Q12"), "no teacher score is mapped")
    assert MEASURES["Q09"].applies(FACTS) == "the score is no probability (log.score_kind)"
    hidden = replace(PROBABILITY, has_exposure=False)
    assert MEASURES["Q10"].applies(hidden) == "the log does not tell what was exposed"
    silent = replace(PROBABILITY, response={})
    assert MEASURES["Q10"].applies(silent) == "no feedback counts as a response"
    by_score = replace(FACTS, teacher_order="score")
    assert MEASURES["Q08"].applies(by_score) == "the teacher's order is made from the scores"
