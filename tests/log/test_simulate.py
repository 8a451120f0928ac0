"""Simulated logs as files: the same rows however the work is cut, and no harm to others' files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from simulated import KEY, SMALL, made, options, read, rows

from rankdistill.errors import PlaceError
from rankdistill.log.simulate import simulate


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("simulated") / "small", days=2)


@pytest.fixture(scope="module")
def log(small: Path) -> pd.DataFrame:
    return read(small / "log").to_pandas()


@pytest.mark.parametrize(
    "cut",
    [
        {"block_rows": 1},
        {"block_rows": 7 * 30, "threads": 3},
        {"rows_per_file": 1},
        {"rows_per_file": 330, "threads": 2},
        {"shuffle": True},
        {"shuffle": True, "rows_per_file": 330, "block_rows": 100, "threads": 2},
    ],
    ids=str,
)
def test_the_rows_do_not_depend_on_how_the_work_is_cut(
    small: Path, tmp_path: Path, cut: dict
) -> None:
    other = made(tmp_path / "other", days=2, **cut)
    assert rows(other / "log") == rows(small / "log")
    assert rows(other / "truth") == rows(small / "truth")


@pytest.mark.parametrize("shared", [True, False])
def test_day_by_day_gives_the_rows_of_all_days_at_once(
    small: Path, tmp_path: Path, shared: bool
) -> None:
    days = [date(2026, 11, 2), date(2026, 11, 1)]
    outs = {made(tmp_path / ("one" if shared else str(day)), start_date=day) for day in days}
    for kind in ("log", "truth"):
        by_day = [row for out in outs for row in rows(out / kind)]
        assert sorted(by_day, key=str) == sorted(rows(small / kind), key=str)


def test_another_seed_gives_other_rows(small: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "other", days=2, seed=1)
    assert rows(other / "log") != rows(small / "log")


def test_rows_of_a_seed_stay_what_they_were(small: Path) -> None:
    """A change here changes every simulated log: raise simulate.VERSION with it."""
    first = read(small / "log").slice(0, 30).to_pandas()
    shown = first[first.position.notna()].sort_values("position")
    assert shown.item_id.tolist() == [286, 238, 274, 27]
    # To the last bit, on every machine.
    assert [score.hex() for score in shown.teacher_score.tolist()] == [
        *("0x1.025fca0000000p+0", "0x1.6928900000000p-3"),
        *("-0x1.8818f40000000p+0", "-0x1.7fda0c0000000p+0"),
    ]


def test_both_layouts_hold_the_same_facts(small: Path, tmp_path: Path) -> None:
    lists = made(tmp_path / "lists", days=2, layout="lists")
    assert read(lists / "log").num_rows == 2 * SMALL["num_requests"]
    assert rows(lists / "log") == rows(small / "log")


def test_shuffled_rows_of_a_request_lie_in_many_files(tmp_path: Path) -> None:
    out = made(tmp_path / "shuffled", shuffle=True, rows_per_file=300)
    files = [pq.read_table(file) for file in sorted((out / "log").glob("*/*.parquet"))]
    requests = [set(file.column("request_id").to_pylist()) for file in files]
    assert len(files) == 6
    assert min(len(found) for found in requests) > 0.9 * SMALL["num_requests"]


def test_without_dropped_candidates_the_ranked_rows_stay_as_they_are(
    small: Path, log: pd.DataFrame, tmp_path: Path
) -> None:
    ranked_only = made(tmp_path / "ranked", days=2, keep_dropped=False)
    ordered = log.sort_values(KEY)["rank"].notna()
    expected = [row for row, keep in zip(rows(small / "log"), ordered, strict=True) if keep]
    assert rows(ranked_only / "log") == expected
    assert len(expected) == 2 * 60 * 12


def test_string_ids_spell_the_integers_in_the_same_order(small: Path, tmp_path: Path) -> None:
    out = made(tmp_path / "strings", days=2, id_kind="string")
    spelled, plain = read(out / "log").to_pandas(), read(small / "log").to_pandas()
    for name in ("request_id", "user_id", "item_id"):
        assert spelled[name].str[1:].astype("int64").equals(plain[name])
    assert spelled.drop(columns=[*KEY, "user_id"]).equals(plain.drop(columns=[*KEY, "user_id"]))


def test_a_second_run_is_up_to_date_and_touches_nothing(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    result = simulate(out, options())
    assert result.up_to_date
    assert result.num_rows == 60 * 30
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_killed_run_is_finished_by_the_next(small: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(_: int) -> None:
        calls.append(_)
        if len(calls) == 5:
            raise Killed

    calls: list[int] = []
    out = tmp_path / "out"
    with pytest.raises(Killed):
        simulate(out, options(days=2), threads=1, block_rows=600, on_progress=kill)
    assert [path.name for path in (out / "log").iterdir()] == ["dt=2026-11-01"]
    assert not simulate(out, options(days=2)).up_to_date
    assert rows(out / "log") == rows(small / "log")
    assert not (out / ".partial").exists()


def test_a_foreign_folder_file_or_link_is_refused_and_left_alone(tmp_path: Path) -> None:
    foreign, file, link = tmp_path / "foreign", tmp_path / "file", tmp_path / "link"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    file.write_text("mine, too")
    link.symlink_to(tmp_path / "elsewhere")
    for place in (foreign, file, link):
        with pytest.raises(PlaceError, match="E0201"):
            simulate(place, options())
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("marker", ["", "[]", "{}", '{"options": [], "dates": []}'])
def test_a_folder_with_a_strange_marker_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "simulate.json").write_text(marker)
    with pytest.raises(PlaceError, match="E0201"):
        simulate(tmp_path, options())


def test_other_options_in_the_same_folder_are_refused_by_name(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    with pytest.raises(PlaceError, match=r"other options \(num_items, seed\)"):
        simulate(out, options(seed=3, num_items=301))


def test_files_of_others_in_a_day_that_would_be_replaced_are_kept(tmp_path: Path) -> None:
    out = made(tmp_path / "out")
    mine = out / "log" / "dt=2026-11-02" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(PlaceError, match=r"notes\.txt"):
        simulate(out, options(days=2))
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_exposed": 13}, r"num_exposed \(13\) exceeds num_ranked \(12\)"),
        ({"num_ranked": 31}, r"num_ranked \(31\) exceeds num_candidates \(30\)"),
        ({"num_candidates": 301}, r"num_candidates \(301\) exceeds num_items \(300\)"),
        ({"start_date": "8999-06-01"}, "leaves the years"),
        ({"num_request": 3}, "Extra inputs"),
    ],
)
def test_impossible_options_say_why(changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options(**changes)
