"""A huge request, a user with half of the log, an item in every request: caps bound what they
cost, and every row is accounted for."""

import json

import numpy as np
import pytest
import skew_kit as kit

from bench import spark_events
from rankdistill import second_pass
from rankdistill.build import build
from rankdistill.errors import InputError
from rankdistill.samples import bounds
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.store.dataset import DataSet
from tests.builders import make_lists

MOST = 1.5  # times the peak memory of even data of equal size
SMALL, LARGE, ON_SPARK = 400_000, 3_000_000, 1_000_000
WHOLE = ("--set", "log.max_candidates=100000")


@pytest.fixture(scope="module")
def is_long(request):
    return request.config.getoption("--faults")


@pytest.fixture(scope="module")
def even(tmp_path_factory, is_long):
    """(where, rows, the peak of a build of an even log of so many rows)."""
    folder = tmp_path_factory.mktemp("skew")
    num_rows = LARGE if is_long else SMALL
    source = kit.log(folder, num_rows)
    peak, _ = kit.build(folder, source, folder / source.stem, *WHOLE)
    return folder, num_rows, peak


def door(root):
    """What became of the rows, as the build keeps it."""
    days = DataSet.open(root).newest().days
    counts = next(iter(days.values())).counts["door"]
    return {name: n for name, n in counts.items() if name.startswith(("rows_", "rejected."))}


@pytest.mark.fault(
    "16", "a request of 100,000; a user of half the log; an item everywhere", times=3
)
def test_skewed_data_takes_little_more_memory_than_even_data(even, trial, is_long):
    folder, num_rows, even_peak = even
    source = kit.log(folder, num_rows, kit.SKEWS[trial] if is_long else kit.ALL)
    peak, _ = kit.build(folder, source, folder / source.stem, *WHOLE)
    assert peak < MOST * even_peak
    assert door(folder / source.stem) == {"rows_in": num_rows, "rows_used": num_rows}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(where Spark tells its events, how a build is sent to two executors of this machine)."""
    events = tmp_path_factory.mktemp("events")
    conf = {
        **spark_events.conf(events),
        "spark.executor.memory": "1g",
        "spark.sql.shuffle.partitions": "8",
    }
    engine = {"kind": "spark", "master": "local-cluster[2,1,1024]", "conf": conf}
    return events, ("--set", f"engine={json.dumps(engine)}")


@pytest.fixture(scope="module")
def even_on_spark(cluster, tmp_path_factory):
    """(where, the peak of a build of an even log)."""
    folder = tmp_path_factory.mktemp("spark")
    source = kit.log(folder, ON_SPARK)
    return folder, kit.build(folder, source, folder / "even", *WHOLE, *cluster[1])[0]


@pytest.mark.fault("16", "the same on two executors of Spark, none of them lost", times=3, quick=0)
def test_skewed_data_loses_no_executor(even_on_spark, cluster, trial, tmp_path):
    folder, even_peak = even_on_spark
    source = kit.log(folder, ON_SPARK, kit.SKEWS[trial])
    events, chosen = cluster
    before = {*events.iterdir()}
    peak, _ = kit.build(folder, source, tmp_path / "spark", *WHOLE, *chosen)
    (told,) = {*events.iterdir()} - before
    lines = told.read_text().splitlines()
    assert sum('"SparkListenerTaskEnd"' in line for line in lines) > 8
    assert not any("SparkListenerExecutorRemoved" in line for line in lines)
    assert peak < MOST * even_peak
    kit.build(folder, source, folder / source.stem, *WHOLE)
    assert of_tables(tmp_path / "spark") == of_tables(folder / source.stem)


def hashes(source, out, engine="duckdb", **log):
    build(kit.config(source, out, engine, **log))
    return of_tables(out)


def of_tables(root):
    """(the content hash of each table, what became of the rows)."""
    data_set = DataSet.open(root)
    tables = data_set.newest().tables
    return {table: str(data_set.content_hash(table)) for table in tables}, door(root)


@pytest.fixture(scope="module")
def skewed(tmp_path_factory):
    """A log with all three, and what is made of it by default."""
    folder = tmp_path_factory.mktemp("all")
    source = kit.log(folder, 130_000, kit.ALL)
    return source, hashes(source, folder / "feed")


def test_what_is_cut_from_a_huge_request_is_counted(skewed):
    source, (_, counts) = skewed
    cut = {"rejected.over_max_candidates": 90_000}
    assert counts == {"rows_in": 130_000, "rows_used": 40_000, **cut}
    lists = DataSet.open(source.parent / "feed").read("lists", columns=["item_id"])
    lengths = np.concatenate([batch.column(0).value_lengths() for batch in lists])
    assert sorted(lengths) == [200] * 150 + [10_000]


def test_how_few_lists_are_worked_on_at_once_changes_no_row(skewed, tmp_path, monkeypatch):
    source, made = skewed
    monkeypatch.setattr(second_pass, "MOST_RESPONSES", 100)
    monkeypatch.setattr(bounds, "MOST_ROWS", 100)
    assert hashes(source, tmp_path / "few") == made


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def test_a_request_that_would_blow_up_is_refused(skewed, tmp_path, engine, request):
    if engine == "spark":
        request.getfixturevalue("spark")
    chosen = kit.config(skewed[0], tmp_path / "out", engine, max_candidates=100_000)
    wide = PairwiseOptions(top_k=None, strategy={"kind": "random", "num_pair_per_sample": 2_000})
    samples = chosen.samples.model_copy(update={"pairwise": wide})
    with pytest.raises(InputError, match=r'E0305.* 197,999,000 rows of request "1"') as caught:
        build(chosen.model_copy(update={"samples": samples}))
    assert "log.max_candidates" in caught.value.help
    assert not [*(tmp_path / "out").rglob("*.parquet")]


def test_as_much_as_one_request_may_give_is_drawn_and_not_one_more(monkeypatch):
    rows = [{"request_id": r, "item_id": i, "rank": i} for r in range(2) for i in range(1, 12 - r)]
    lists = make_lists(rows)
    kinds = {"pairwise": PairwiseOptions(top_k=1, strategy={"kind": "topk"})}
    monkeypatch.setattr(bounds, "MOST_OF_A_REQUEST", 10)
    assert len([*bounds.not_too_many(kinds, lists)]) == 1
    monkeypatch.setattr(bounds, "MOST_OF_A_REQUEST", 9)
    with pytest.raises(InputError, match=r"E0305.*10 rows"):
        bounds.not_too_many(kinds, lists)
