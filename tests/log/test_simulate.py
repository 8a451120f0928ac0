"""The simulated log: the same rows however it is cut, a sound funnel, a teacher worth copying."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from rankdistill.errors import PlaceError
from rankdistill.log.cascade import best_first, examination, sigmoid
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.log.world import make_world, normal_table

SMALL = {
    "num_requests": 60,
    "num_users": 40,
    "num_items": 300,
    "num_candidates": 30,
    "num_ranked": 12,
    "num_exposed": 4,
}
KEY = ["request_id", "item_id"]
TABLES = ("users", "items")
FEEDBACK = ["click", "like", "play_time"]
WITHIN = [
    *("item_id", "stage", "rank", "rerank_rank", "position", "teacher_score"),
    *("prerank_score", *FEEDBACK, "category"),
]


def options(**changes: Any) -> SimulateOptions:
    return SimulateOptions(**{**SMALL, **changes})


def read(folder: Path) -> pa.Table:
    """All files of all days, without the partition column."""
    files = sorted(folder.glob("dt=*/part-*.parquet"))
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files])


def rows(folder: Path) -> list[tuple]:
    """The rows of a log in a canonical order, each value exact (lists layout unfolded)."""
    table = read(folder)
    frame = table.to_pandas(types_mapper=None)
    if pa.types.is_list(table.schema.field("item_id").type):
        frame = pd.DataFrame(table.to_pylist()).explode(
            [name for name in WITHIN if name in table.column_names]
        )
    frame = frame[sorted(frame.columns)].sort_values(KEY)
    plain = frame.astype(object).where(frame.notna(), None)
    return [tuple(row) for row in plain.itertuples(index=False)]


def made(out: Path, *, threads: int = 1, block_rows: int = 65_536, **changes: Any) -> Path:
    simulate(out, options(**changes), threads=threads, block_rows=block_rows)
    return out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("simulated") / "small", days=2)


@pytest.fixture(scope="module")
def log(small: Path) -> pd.DataFrame:
    return read(small / "log").to_pandas()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A log big enough for statistics, with the truth beside each row."""
    out = tmp_path_factory.mktemp("simulated") / "large"
    simulate(out, SimulateOptions(num_requests=1500))
    truth = read(out / "truth").to_pandas()
    return read(out / "log").to_pandas().merge(truth, on=KEY, validate="one_to_one")


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


@pytest.mark.parametrize("column", ["rank", "rerank_rank", "position"])
def test_places_run_from_one_without_gaps(log: pd.DataFrame, column: str) -> None:
    length = {"rank": 12, "rerank_rank": 8, "position": 4}[column]
    places = log.groupby("request_id")[column].apply(lambda c: sorted(c.dropna()))
    assert all(found == list(range(1, length + 1)) for found in places)


def test_each_stage_has_its_columns_and_no_other(log: pd.DataFrame) -> None:
    order = ["recalled", "preranked", "ranked", "reranked", "exposed"]
    stage = log.stage.map(order.index)
    assert np.bincount(stage).tolist() == [120 * n for n in (3, 15, 4, 4, 4)]
    assert log.prerank_score.notna().equals(stage >= 1)
    for column in ("rank", "teacher_score"):
        assert log[column].notna().equals(stage >= 2)
    assert log.rerank_rank.notna().equals(stage >= 3)
    for column in ("position", *FEEDBACK):
        assert log[column].notna().equals(stage >= 4)


def test_rank_follows_the_teacher_score_and_the_shown_come_from_its_top(log: pd.DataFrame) -> None:
    ranked = log.dropna(subset="rank").sort_values(["request_id", "rank"])
    steps = ranked.groupby("request_id").teacher_score.diff().dropna()
    shown = log[log.position.notna()]
    assert (steps <= 0).all()
    assert (shown["rank"] <= 8).all()
    assert (shown.position == shown.rerank_rank).all()
    assert (shown.position != shown["rank"]).any()


def test_no_item_twice_in_a_request_and_no_request_in_two_days(log: pd.DataFrame) -> None:
    assert not log.duplicated(KEY).any()
    one_value = log.groupby("request_id")[["user_id", "request_time", "scene"]].nunique()
    assert (one_value == 1).all(axis=None)
    assert log.request_id.nunique() == 120


def test_request_times_lie_in_their_day_in_order(small: Path) -> None:
    for day in ("2026-11-01", "2026-11-02"):
        table = pq.ParquetFile(small / "log" / f"dt={day}" / "part-00000.parquet").read()
        assert table.schema.field("request_time").type == pa.timestamp("us", tz="UTC")
        time = table.column("request_time").to_pandas()
        assert set(time.dt.strftime("%Y-%m-%d")) == {day}
        assert time.is_monotonic_increasing


def test_a_catalogue_as_small_as_the_recall_is_recalled_whole(tmp_path: Path) -> None:
    tiny = {"num_items": 5, "num_candidates": 5, "num_ranked": 5, "num_exposed": 5}
    out = made(tmp_path / "tiny", num_requests=3, num_users=1, **tiny)
    log = read(out / "log").to_pandas()
    assert log.groupby("request_id").item_id.apply(list).tolist() == [[1, 2, 3, 4, 5]] * 3
    assert set(log.stage) == {"exposed"}


def test_the_truth_is_not_in_the_log_nor_in_the_features(small: Path) -> None:
    truth = read(small / "truth")
    hidden = {"click_probability", "examined"}
    assert set(truth.column_names) == {*KEY, *hidden}
    visible = [read(small / "log"), *(pq.read_table(small / f"{t}.parquet") for t in TABLES)]
    for table in visible:
        assert not hidden & set(table.column_names)
    both = visible[0].to_pandas().merge(truth.to_pandas(), on=KEY, validate="one_to_one")
    for name in ("teacher_score", "prerank_score"):
        told = both[both[name].notna()]
        gap = sigmoid(told[name].to_numpy()) - told.click_probability
        assert (gap.abs() < 1e-4).mean() < 0.01


def test_features_cover_every_id_of_the_log(small: Path, log: pd.DataFrame) -> None:
    users, items = (pq.read_table(small / f"{name}.parquet").to_pandas() for name in TABLES)
    assert users.user_id.is_unique
    assert items.item_id.is_unique
    assert set(log.user_id) <= set(users.user_id)
    joined = log.merge(items, on="item_id", validate="many_to_one")
    assert (joined.category_x == joined.category_y).all()


def spearman(frame: pd.DataFrame, one: str, other: str) -> float:
    """The mean over requests of the rank correlation of two columns."""
    ranks = frame.groupby("request_id")[[one, other]].rank()
    return ranks.groupby(frame.request_id).corr().xs(one, level=1)[other].mean()


def test_the_teacher_sees_truth_better_than_the_pre_ranker_but_not_wholly(
    large: pd.DataFrame,
) -> None:
    ranked = large[large["rank"].notna()]
    teacher = spearman(ranked, "teacher_score", "click_probability")
    pre_ranker = spearman(ranked, "prerank_score", "click_probability")
    assert 0.8 < teacher < 0.95
    assert 0.2 < pre_ranker < teacher - 0.2
    assert 0.15 < spearman(ranked, "teacher_score", "prerank_score") < 0.5
    assert 0.4 < spearman(large, "prerank_score", "click_probability") < 0.7


def test_teacher_score_is_no_monotone_function_of_the_click_probability(
    large: pd.DataFrame,
) -> None:
    ranked = large[large["rank"].notna()].sort_values("click_probability")
    steps = ranked.groupby("request_id").teacher_score.diff().dropna()
    assert 0.1 < (steps < 0).mean() < 0.5


def test_clicks_fall_with_position_beyond_what_truth_says(large: pd.DataFrame) -> None:
    shown = large[large.position.notna()]
    by_position = shown.groupby("position")
    bias = by_position.click.sum() / by_position.click_probability.sum()
    assert bias.to_numpy() == pytest.approx(examination(10), rel=0.25)
    assert by_position.examined.mean().iloc[[1, 9]].to_numpy() == pytest.approx(
        [2**-0.7, 10**-0.7], rel=0.15
    )
    assert not shown.click[shown.examined == False].any()  # noqa: E712  (nullable column)


def test_likes_and_play_time_need_a_click(large: pd.DataFrame) -> None:
    shown = large[large.position.notna()]
    clicked = shown.click == 1
    assert 0.05 < clicked.mean() < 0.4
    assert (shown.play_time > 0).equals(clicked)
    assert not shown.like[~clicked].any()
    assert 0 < shown.like[clicked].mean() < 1


def test_some_users_and_items_are_much_more_common_than_others(large: pd.DataFrame) -> None:
    requests = large.drop_duplicates("request_id").user_id.value_counts()
    assert requests.head(20).sum() > 0.12 * 1500  # of 2000 users
    recalled = large.item_id.value_counts()
    assert recalled.head(100).sum() > 0.05 * len(large)  # of 10,000 items
    assert recalled.iloc[0] < 0.9 * 1500


def test_the_features_tell_something_about_taste(large: pd.DataFrame) -> None:
    """The category explains part of what is clicked, per age group more than alone."""
    world = make_world(SimulateOptions(num_requests=1500))
    age = world.age_group[large.user_id - 1]
    spread_of_means = large.groupby([age, large.category]).click_probability.mean().std()
    shuffled = np.random.default_rng(0).permutation(large.category)
    assert spread_of_means > 3 * large.groupby([age, shuffled]).click_probability.mean().std()


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


def test_best_first_is_a_stable_descending_sort() -> None:
    score = np.float32([[1, -0.0, 3, 0.0, -2, 3, np.inf, -np.inf]])
    assert best_first(score).tolist() == [[6, 2, 5, 0, 1, 3, 4, 7]]
    allowed = np.array([[1, 1, 0, 1, 1, 1, 0, 1]], dtype=bool)
    assert best_first(score, allowed).tolist() == [[5, 0, 1, 3, 4, 7, 2, 6]]


def test_the_tables_are_a_normal_and_a_logistic() -> None:
    table = normal_table().astype(np.float64)
    assert np.all(np.diff(table) > 0)
    assert [table.mean(), table.std()] == pytest.approx([0, 1], abs=1e-3)
    logit = np.linspace(-11, 11, 999, dtype=np.float32)
    assert sigmoid(logit) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)
