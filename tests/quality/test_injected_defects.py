"""One defect for each measure, put into a clean log and built: its measure fires, and no other
but the neighbours that the defect is bound to touch.

What a build would refuse is handed in: states changed behind it (Q01, Q24), guards taken away
(Q19, Q33).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rankdistill.quality.measures import MEASURES
from rankdistill.quality.metrics import Day
from rankdistill.samples import guards, urns
from tests.quality import faulty_rows as rows_with
from tests.quality.defects_kit import (
    FIRST,
    LAST,
    LENGTH,
    PAST_DAYS,
    PER_DAY,
    build_days,
    fired,
    log,
)
from tests.quality.faulty_rows import Rows, place, put, some


@dataclass(frozen=True)
class Defect:
    """What is wrong: with the rows, the configuration, the metrics of the day, or the guards.

    neighbours: measures that may fire, too; why they may is said beside.
    """

    rows: Callable[[Rows], Rows] = lambda rows: rows
    settings: dict[str, Any] | None = None
    day: Callable[[Day], None] = lambda day: None
    without_guards: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()


def lost_row(day: Day) -> None:
    day.states["Q01"].segments[""]["used"] -= 1


def uniform_draws(day: Day) -> None:
    state = day.states["Q24"].segments[""]
    state["drawn.popular"] = [4 * n for n in state["items"]]
    state["mass.law"] = [2**40 >> 2 * b for b in range(len(state["items"]))]


def negatives_of(**options: Any) -> dict[str, Any]:
    return {"samples": {"negatives": options}}


ANY_TAIL = {"kind": "ranks", "from_rank": 1}
DEFECTS: dict[str, Defect] = {
    "Q01": Defect(day=lost_row),
    # A fifth of the rows has a rank that no log counts; the lists are shorter, with gaps.
    "Q01.rejected": Defect(
        lambda rows: put(rows, place(rows) % 3 == 2, rank=-1.0), neighbours=("Q05", "Q30")
    ),
    "Q02": Defect(lambda rows: pd.concat([rows, rows[::30]])),
    # Repeated lists make their items more frequent than others.
    "Q03": Defect(lambda rows: rows_with.again(rows, some(rows, 10)), neighbours=("Q25",)),
    # Rows without a score are set aside, and leave gaps in the ranks.
    "Q04": Defect(
        lambda rows: put(rows, (place(rows) == 12) & some(rows, 2), teacher_score=np.inf),
        neighbours=("Q05",),
    ),
    "Q05": Defect(lambda rows: rows[(place(rows) != 12) | ~some(rows, 4)]),
    # Lists of one candidate have nothing to draw from but the catalogue.
    "Q06": Defect(
        lambda rows: put(rows, (place(rows) == 0) & some(rows, 10), position=1.0)[
            (place(rows) < 1) | ~some(rows, 10)
        ],
        neighbours=("Q18",),
    ),
    "Q07": Defect(
        lambda rows: put(rows, rows["rank"] > 0, teacher_score=lambda r: r.teacher_score.round(1)),
        neighbours=("Q30",),  # of few values
    ),
    "Q08": Defect(rows_with.shuffled_tail),
    # Other scores are a drift of scores.
    "Q09": Defect(
        lambda rows: put(rows, rows["rank"] > 0, teacher_score=lambda r: 0.5 * r.teacher_score),
        neighbours=("Q30",),
    ),
    # Clicks that do not follow the score are not what it promises.
    "Q10": Defect(rows_with.clicks_of_chance, neighbours=("Q09",)),
    # Where all scores are alike, negatives are as good as positives.
    "Q11": Defect(rows_with.collapsed, neighbours=("Q15", "Q21", "Q30", "Q12")),
    "Q12": Defect(settings={"quality": {"temperature": 50.0}}),
    "Q13": Defect(
        settings={
            "samples": {"listwise": {"grade": {"kind": "score_thresholds", "edges": [3.0, 5.0]}}}
        }
    ),
    "Q14": Defect(settings={"samples": {"pairwise": {"max_pairs_per_request": 3}}}),
    "Q15": Defect(settings={"quality": {"min_margin": 0.5}}),
    "Q16": Defect(rows_with.first_is_clicked),
    "Q17": Defect(
        settings={"samples": {"pointwise": {"weight": {"kind": "table", "values": [500.0, 1.0]}}}},
        neighbours=("Q30",),  # other weights than on the days before
    ),
    "Q18": Defect(
        lambda rows: rows[rows.stage != "recalled"],
        neighbours=("Q30",),  # shorter lists
    ),
    # A positive is as near to the positives as can be.
    "Q19": Defect(
        settings=negatives_of(mix={"tail": 1.0}, tail=ANY_TAIL),
        without_guards=("positive", "responded"),
        neighbours=("Q21",),
    ),
    # A third more requests, of other items and with more clicks.
    "Q20": Defect(rows_with.wanted_later, neighbours=("Q09", "Q24", "Q25", "Q26", "Q31")),
    "Q21": Defect(rows_with.near_behind, neighbours=("Q15", "Q30")),
    "Q22": Defect(
        lambda rows: rows[~rows.stage.isin(["preranked", "recalled"]) | (place(rows) % 8 == 0)],
        neighbours=("Q18", "Q30"),  # few were dropped: sources run short, lists are shorter
    ),
    "Q23": Defect(rows_with.pinned, negatives_of(mix={"prerank_dropped": 0.5, "tail": 0.5})),
    "Q24": Defect(day=uniform_draws),
    # Who clicked them before does not get them as unclicked ones; less is covered.
    "Q25": Defect(rows_with.few_positives, neighbours=("Q18", "Q26")),
    "Q26": Defect(settings={"samples": {"listwise": {"max_length": 6}}}, neighbours=("Q30",)),
    "Q27": Defect(rows_with.torn, {"dt": {"from": "partition"}}),
    "Q28": Defect(rows_with.around_the_split, neighbours=("Q03",)),  # it is repeated content, too
    "Q29": Defect(rows_with.late),
    "Q30": Defect(
        lambda rows: put(
            rows,
            rows.index >= 0,
            request_time=lambda r: LAST + (r.request_time - LAST) / 6,
        )
    ),
    # Few requests cover few items, and repeat few.
    "Q31": Defect(lambda rows: rows[some(rows, 4)], neighbours=("Q25", "Q26")),
    "Q32": Defect(rows_with.tied, neighbours=("Q15",)),
    "Q33": Defect(
        settings=negatives_of(mix={"tail": 1.0}, tail=ANY_TAIL, allow_exposed=False),
        without_guards=("exposed",),
        neighbours=("Q21",),  # what was shown scores as high as what was clicked
    ),
    "Q34": Defect(lambda rows: put(rows, some(rows, 3), teacher_version="v2")),
    # A score that promises clicks is wrong then, too.
    "funnel": Defect(lambda rows: put(rows, rows.position.notna(), click=0.0), neighbours=("Q09",)),
}

# Measures of rows and requests; the others are of distributions, and no row is the one at fault.
SHOWN = {"Q02", "Q03", "Q04", "Q05", "Q08", "Q12", "Q19", "Q21", "Q23", "Q27", "Q28", "Q33"}


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    dates = [FIRST + pd.Timedelta(days=7 * n) for n in range(PAST_DAYS)]
    return build_days(tmp_path_factory.mktemp("past"), log(dates, seed=5))


def unguarded(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    """From now on the draw of negatives does not look at some guards."""
    original = guards.guard

    def loose(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        found.code[np.isin(found.code, [guards.CODE[name] for name in names])] = 0
        return found

    monkeypatch.setattr(urns, "guard", loose)


def test_nothing_fires_of_the_clean_days(tmp_path, past):
    assert fired(past, []) == {}
    assert fired(build_days(tmp_path, log([LAST])), past) == {}
    assert len(log([LAST])) == PER_DAY * LENGTH


@pytest.mark.parametrize("measure", DEFECTS)
def test_a_defect_fires_its_measure_and_none_but_its_neighbours(
    tmp_path, past, monkeypatch, measure
):
    defect = DEFECTS[measure]
    if defect.without_guards:
        unguarded(monkeypatch, defect.without_guards)
    found = build_days(tmp_path, defect.rows(log([LAST])), defect.settings)
    defect.day(found[0])
    measure, told = measure.split(".")[0], set(fired(found, past))
    assert measure in told
    if measure in SHOWN:
        assert found[0].states[measure].examples
    # What any measure has never said before is an anomaly.
    assert told - {measure} <= {"Q32", *defect.neighbours}


def test_every_measure_with_a_gate_has_a_defect():
    gated = {name for name, measure in MEASURES.items() if measure.gates}
    assert gated == {name.split(".")[0] for name in DEFECTS}
