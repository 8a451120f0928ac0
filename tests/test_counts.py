"""Every count of a build is explained, and found by what a user would call it."""

import pytest

from rankdistill.build import build
from rankdistill.counts import COUNTS
from rankdistill.errors import ConfigError
from rankdistill.explain import explained
from rankdistill.log.simulate import SimulateOptions, simulate
from tests.test_negatives_build import settings


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    log = simulate(folder, SimulateOptions(num_requests=20, days=2, num_users=5, num_items=300))
    margin = {"kind": "absolute", "gap": 1.0}
    negatives = {"margin": margin, "future_window": "0d", "history_window": "1d"}
    samples = {
        "pointwise": {"debias": {"most": 2}},
        "pairwise": {"max_pairs_per_request": 5},
        "listwise": {},
        "negatives": negatives,
    }
    return build(settings(log, folder / "a", samples=samples))


def test_a_build_counts_nothing_that_is_not_explained(made):
    for name in [*made.totals, *made.door]:
        (text,) = explained(name).values()
        assert text and explained(name).keys() == {name}, name


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("negatives.guarded.history", "negatives.guarded.history"),
        ("guarded.history", "negatives.guarded.history"),
        ("history", "negatives.guarded.history"),
        ("short", "negatives.short.*"),
        ("negatives.short.popular", "negatives.short.popular"),
        ("requests_without_row", "*.requests_without_row"),
        ("e0208", "E0208"),
    ],
)
def test_a_count_is_found_by_its_name_or_a_part_of_it(name, whole):
    assert list(explained(name)) == [whole]


def test_all_counts_of_a_family_are_told_together():
    guards = [name for name in COUNTS if name.startswith("negatives.guarded.")]
    assert list(explained("guarded")) == guards
    assert "within history_window" in explained("guarded")["negatives.guarded.history"]


def test_rejected_rows_are_told_with_their_reason():
    assert explained("rejected.score_nan")["rejected.score_nan"].endswith("score is NaN")


def test_a_day_that_is_missing_is_explained_with_what_to_do():
    assert "catalogue.allow_short_history" in explained("E0208")["E0208"]


def test_an_unknown_count_names_the_nearest():
    with pytest.raises(ConfigError, match="is unknown") as fault:
        explained("negatives.guarded.histroy")
    assert fault.value.help == "rankdistill explain negatives.guarded.history"
