"""One defect for each measure of samples, put into clean samples: that one fires."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from rankdistill.quality.judged import SEVERITY
from rankdistill.quality.measures import MEASURES, hardness, known, later, mixes, pairs, weights
from tests.quality.samples_kit import START, Scene, build, facts_of, options_of

OWN = {m.id for theme in (hardness, known, later, mixes, pairs, weights) for m in theme.MEASURES}
CLEAN = {
    "pointwise": options_of("pointwise", top_k=5),
    "pairwise": options_of("pairwise", top_k=5),
    "listwise": options_of("listwise", max_length=40, grade={"kind": "score_quantile"}),
    "negatives": options_of(
        "negatives",
        top_k=5,
        num=12,
        mix={"recall_dropped": 0.25, "prerank_dropped": 0.25, "tail": 0.25, "popular": 0.25},
        history_window="1d",
    ),
}
SHOWN = options_of(
    "negatives",
    student="prerank",
    positives="feedback",
    num=5,
    mix={"exposed_unclicked": 0.5, "tail": 0.5},
    history_window="1d",
)


def cascade(seed: int = 1, num_requests: int = 60) -> Scene:
    """Requests of 40 candidates: 24 ranked of which 6 are shown, 8 and 8 dropped before; a click
    anywhere among the shown; users who respond to something else now and then."""
    generator, rows, events = random.Random(seed), [], []
    for request in range(num_requests):
        items, positions = generator.sample(range(2000), 40), generator.sample(range(1, 7), 6)
        when = START + timedelta(seconds=generator.randrange(86_400))
        clicked = generator.randrange(6)
        for place, item in enumerate(items):
            is_ranked, is_shown = place < 24, place < 6
            rows.append(
                {
                    "request_id": request,
                    "item_id": item,
                    "user_id": f"u{request % 6}",
                    "request_time": when,
                    "rank": place + 1 if is_ranked else None,
                    "teacher_score": 3 - place / 4 - generator.random() / 5 if is_ranked else None,
                    "stage": "exposed"
                    if is_shown
                    else "ranked"
                    if is_ranked
                    else "preranked"
                    if place < 32
                    else "recalled",
                    "position": positions[place] if is_shown else None,
                    "click": float(place == clicked) if is_shown else None,
                }
            )
        events += [
            (f"u{n % 6}", START + timedelta(minutes=generator.randrange(12_000)), 3000 + n)
            for n in range(request, request + 3)
        ]
    events.append(("u0", START + timedelta(days=8), 1))
    return Scene(rows, events, {item: generator.randrange(1, 30) for item in range(2000)})


def fired(built, **shared) -> dict[str, str]:
    """measure -> verdict of those that are bad, with their parts."""
    bad = {}
    for measure in sorted(OWN):
        verdict = built.judged(measure, **shared).verdict
        if SEVERITY[verdict] > SEVERITY["ok"]:
            bad[measure] = verdict
    return bad


@pytest.mark.parametrize("seed", range(5))
def test_clean_samples_fire_nothing(seed):
    assert fired(build(cascade(seed), CLEAN)) == {}
    shown = build(cascade(seed), {"negatives": SHOWN}, facts=facts_of({"negatives": SHOWN}))
    assert fired(shown) == {}


def test_levels_in_the_wrong_unit_leave_grades_empty():
    # Thresholds of probabilities, on logits.
    rule = {"kind": "score_thresholds", "edges": [8.0, 9.0]}
    kinds = {"listwise": options_of("listwise", grade=rule, max_length=40)}
    built = build(cascade(), kinds)
    assert fired(built) == {"Q13": "fail"}
    assert built.judged("Q13").reading.note == "no item has grade 2, 3"


def test_requests_without_pairs_are_a_lack_of_coverage():
    def lose(kind, lists, drawn):
        if kind != "pairwise":
            return drawn
        kept = drawn.request % 2 == 0
        rows = {n: v[kept] for n, v in vars(drawn).items() if isinstance(v, np.ndarray)}
        return replace(drawn, **rows)

    built = build(cascade(), CLEAN, tamper=lose)
    assert fired(built) == {"Q14": "fail"}
    shown = built.judged("Q14").examples
    assert len(shown) == 20 and {note for *_, note in shown} == {"40 candidates, no pair"}
    assert not {request for _, request, *_ in shown} & {
        row["request_id"] for row in built.tables["pairwise"]
    }


def test_a_cap_that_cuts_most_requests_is_told():
    options = options_of("pairwise", top_k=5, max_pairs_per_request=4)
    built = build(cascade(), {"pairwise": options})
    assert fired(built) == {"Q14": "fail"}
    assert built.judged("Q14").verdicts == {"": "ok", "cap_hit": "fail"}
    # A cap that no row was lost to is none, though requests hold exactly so many.
    exact = options_of("pairwise", top_k=5, max_pairs_per_request=20)
    assert fired(build(cascade(), {"pairwise": exact})) == {}


def test_a_cap_is_the_sample_of_strategies_that_take_every_pair():
    every = {"kind": "all", "max_length": 12}
    options = options_of("pairwise", strategy=every, max_pairs_per_request=6)
    built = build(cascade(), {"pairwise": options})
    reading = built.judged("Q14").reading
    assert (reading.parts["at_cap"], reading.parts["cap_hit"]) == (1.0, None)


def test_pairs_of_almost_one_score_have_no_margin():
    given = cascade()
    for row in given.rows:
        if row["teacher_score"] is not None:
            row["teacher_score"] /= 20
    assert fired(build(given, {"pairwise": CLEAN["pairwise"]})) == {"Q15": "fail"}


def test_positives_always_shown_above_their_negatives_teach_the_position():
    given = cascade()
    for row in given.rows:
        if row["click"] == 1:
            first = next(
                r for r in given.rows if r["request_id"] == row["request_id"] and r["position"] == 1
            )
            row["position"], first["position"] = first["position"], row["position"]
    assert fired(build(given, {"negatives": SHOWN})) == {"Q16": "fail"}


@pytest.mark.parametrize(("few", "verdict"), [(150, "warn"), (3, "fail")])
def test_a_few_rows_that_weigh_as_much_as_all(few, verdict):
    def heavy(kind, lists, drawn):
        if kind == "pointwise":
            at = np.linspace(0, len(drawn.weight) - 1, few).astype(int)
            drawn.weight[at] = 1000.0
        return drawn

    assert fired(build(cascade(), CLEAN, tamper=heavy)) == {"Q17": verdict}


def test_weight_that_lies_on_the_first_rank_is_told():
    options = options_of("pairwise", top_k=5)

    def first(kind, lists, drawn):
        drawn.weight[lists.teacher_rank[drawn.pos] == 1] = 5.0
        return drawn

    built = build(cascade(), {"pairwise": options}, tamper=first)
    assert fired(built) == {"Q17": "warn"}
    assert built.judged("Q17").verdicts["first"] == "warn"


def test_a_source_that_runs_short_is_off_its_share():
    given = cascade()
    given.rows = [row for row in given.rows if row["stage"] != "recalled"]
    assert fired(build(given, CLEAN)) == {"Q18": "fail"}


def swap(to):
    """The first negative of every third request becomes the candidate at place `to` of it."""

    def tamper(kind, lists, drawn):
        if kind == "negatives":
            rows = np.unique(drawn.request, return_index=True)[1][::3]
            drawn.item[rows] = lists.offsets[drawn.request[rows]] + to
            drawn.difficulty[rows] = np.nan
        return drawn

    return tamper


def unshown(given: Scene) -> Scene:
    for row in given.rows:
        row["stage"] = "ranked" if row["stage"] == "exposed" else row["stage"]
        row["click"] = None
    return given


def test_a_positive_among_the_negatives_is_a_known_false_one():
    # An item of rank 1 as a negative is too near to the positives, too.
    built = build(unshown(cascade()), CLEAN, tamper=swap(0))
    assert fired(built) == {"Q19": "fail", "Q21": "warn"}
    examples = built.judged("Q19").examples
    assert len(examples) == 20
    first = {row["request_id"]: row["item_id"] for row in reversed(built.scene.rows)}
    assert all(first[request] == item for _, request, item, _ in examples)


def test_what_the_user_had_responded_to_is_a_known_false_negative():
    given = cascade()
    drawn = build(given, CLEAN).tables["negatives"]
    given.events += [
        (row["user_id"], row["request_time"] - timedelta(hours=3), row["item_id"])
        for row in drawn[::40]
    ]
    # Drawn without the guard that is said to be there.
    loose = {**CLEAN, "negatives": CLEAN["negatives"].model_copy(update={"history_window": None})}
    built = build(given, loose, facts=facts_of(CLEAN))
    assert fired(built) == {"Q19": "fail"}
    assert built.judged("Q19").reading.parts["past"] == pytest.approx(1 / 40, rel=0.1)
    assert "in the 1d before" in built.judged("Q19").examples[0][3]
    assert fired(build(given, CLEAN)) == {}  # the guard keeps them out
    told = build(given, loose).judged("Q19").reading
    assert (told.value, told.note[:22]) == (0.0, "history_window is null")


@pytest.mark.parametrize(("every", "verdict"), [(40, "warn"), (8, "fail")])
def test_negatives_that_are_clicked_within_the_hour_are_told(every, verdict):
    given = cascade()
    drawn = build(given, CLEAN).tables["negatives"]
    given.events += [
        (row["user_id"], row["request_time"] + timedelta(minutes=30), row["item_id"])
        for row in drawn[::every]
    ]
    built = build(given, CLEAN)
    assert fired(built)["Q20"] == verdict
    assert built.judged("Q20").reading.parts["within_1h"] == pytest.approx(1 / every, rel=0.3)


def test_later_clicks_on_hard_negatives_far_above_those_on_easy_ones_are_told():
    given = cascade(num_requests=300)
    for row in given.rows:
        row["user_id"] = f"u{row['request_id']}"
    drawn = build(given, CLEAN).tables["negatives"]
    easy = [row for row in drawn if row["source"] == "popular"]
    hard = [row for row in drawn if row["source"] != "popular"]
    given.events += [
        (row["user_id"], row["request_time"] + timedelta(hours=20), row["item_id"])
        for row in [*easy[::30], *hard[::4]]
    ]
    built = build(given, CLEAN)
    assert built.judged("Q20").verdicts["hard_over_easy"] == "warn"


def test_a_log_that_ends_with_the_request_says_nothing_of_later():
    given = cascade()
    given.events = [("u0", START - timedelta(hours=1), 5)]
    found = build(given, CLEAN).judged("Q20")
    assert (found.verdict, found.reading.n) == ("not applicable", 0)
    assert found.reading.parts["censored_1h"] == 1
    assert found.why == "no response is known after the last request"


def test_negatives_from_right_behind_the_positives_are_too_near():
    tail = {"kind": "ranks", "from_rank": 6, "to_rank": 7}
    options = CLEAN["negatives"].model_copy(
        update={"tail": options_of("negatives", top_k=5, tail=tail).tail, "mix": {"tail": 1.0}}
    )
    options = options.model_copy(update={"allow_exposed": True, "num": 2})
    given = unshown(cascade())
    for row in given.rows:  # of probabilities, that lie close by each other
        if row["teacher_score"] is not None:
            row["teacher_score"] = 0.9 - row["rank"] / 100
    facts = facts_of({"negatives": options}, score_kind="probability")
    assert fired(build(given, {"negatives": options}, facts=facts)) == {"Q21": "fail"}
    margin = options_of("negatives", margin={"kind": "relative"}).margin
    guarded = options.model_copy(update={"margin": margin, "tail": CLEAN["negatives"].tail})
    facts = facts_of({"negatives": guarded}, score_kind="probability")
    built = build(given, {"negatives": guarded}, facts=facts)
    assert built.judged("Q21").reading.value == 0.0


def test_a_log_with_its_stages_exchanged_has_no_order_of_hardness():
    def exchange(kind, lists, drawn):
        if kind == "negatives":
            at = ~np.isnan(drawn.difficulty)
            drawn.difficulty[at] = 1.0 - drawn.difficulty[at]
        return drawn

    assert fired(build(cascade(), CLEAN, tamper=exchange)) == {"Q22": "fail"}


@pytest.mark.parametrize("kind", ["pointwise", "pairwise", "negatives"])
def test_an_exposed_negative_is_told_of_every_kind(kind):
    options = options_of(kind, **{**SMALL, **LIBERAL[kind]})
    strict = options.model_copy(update={"allow_exposed": False})
    built = build(cascade(), {kind: options}, facts=facts_of({kind: strict}))
    found = built.judged("Q33")
    assert found.verdict == "fail" and found.reading.parts[kind] == found.reading.value
    shown = {
        (row["request_id"], row["item_id"]) for row in built.scene.rows if row["stage"] == "exposed"
    }
    assert all((request, item) in shown for _, request, item, _ in found.examples)
    assert MEASURES["Q33"].applies(facts_of({kind: options})) is not None


SMALL = {"top_k": 2, "allow_exposed": True}
LIBERAL = {
    "pointwise": {"negatives": {"kind": "all"}, "gap": "keep"},
    "pairwise": {},
    "negatives": {"mix": {"tail": 1.0}, "tail": {"kind": "ranks", "from_rank": 3}},
}


def test_states_are_plain_json():
    for _, _, found in build(cascade(), CLEAN).states:
        assert json.loads(found.as_json())
