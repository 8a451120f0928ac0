"""The simulated cascade: a sound funnel, truth kept apart, a teacher worth copying."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated import FEEDBACK, KEY, made, read

from rankdistill.log.cascade import best_first, examination, sigmoid
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.log.world import make_world, normal_table

TABLES = ("users", "items")


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
