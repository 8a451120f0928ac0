"""`diff` and `baseline`, as a stranger meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli_kit import CONFIG, run, simulate

from rankdistill.quality.options import QualityOptions


@pytest.fixture
def two(built: Path) -> Path:
    """Build 2 of another seed and width, with a gate that it fails."""
    changed = CONFIG.replace("pairwise: {top_k: 3}", "pairwise: {top_k: 5}")
    Path("other.yaml").write_text(changed + "seed: 7\n")
    run("build", "-c", "other.yaml", "--force")
    return built


def test_a_build_and_itself_are_the_same(built):
    shown = run("diff", "feed", "feed@1").stdout
    assert "The same: schema, config, counts and rows are equal." in shown
    assert json.loads(run("diff", "feed", "feed@1", "--format", "json").stdout)["equal"]


def test_what_changed_is_told_and_written_as_three_files(two):
    shown = run("diff", "feed@1", "feed", "--out", "page").stdout
    files = {path.name: path.read_text() for path in Path("page").iterdir()}
    assert set(files) == {"diff.html", "diff.md", "diff.json"}
    found = json.loads(files["diff.json"])
    assert found == json.loads(run("diff", "feed@1", "feed", "--format", "json").stdout)
    rows = {row["name"]: row for row in found["rows"]}["pairwise"]
    for text in (shown, files["diff.html"], files["diff.md"].replace("\\", "")):
        assert "kinds.pairwise.top_k" in text
        assert f"{rows['a']:,}" in text
        assert f"{rows['b']:,}" in text
        assert "Rows of pairwise" in text
        assert "Rows of lists" not in text
        for row in found["only"]["pairwise"]["examples_b"][:5]:
            assert str(row["request_id"]) in text


def test_ids_can_be_hidden_wherever_the_difference_is_told(two):
    plain = json.loads(run("diff", "feed@1", "feed", "--format", "json").stdout)
    ids = {str(row["request_id"]) for row in plain["only"]["pairwise"]["examples_b"]}
    shown = run("diff", "feed@1", "feed", "--redact-ids", "--out", "page").stdout
    hidden = ["diff", "feed@1", "feed", "--redact-ids", "--format", "json"]
    told = [path.read_text() for path in Path("page").iterdir()]
    assert len(told) == 3 and ids
    for text in (shown, run(*hidden).stdout, *told):
        assert "Rows of pairwise" in text or '"pairwise"' in text
        assert not any(name in text for name in ids)


def test_measures_that_got_worse_come_first(two):
    Path("strict.yaml").write_text(CONFIG + "quality: {gates: {Q17: {warn: 1, fail: null}}}\n")
    run("diff", "feed@1", "feed", "-c", "strict.yaml", "--out", "page")
    found = json.loads(Path("page/diff.json").read_text())
    worse = [row["worse"] for row in found["measures"]]
    assert worse == sorted(worse, reverse=True)


def test_baselines_are_earlier_days_and_builds(two):
    shown = run("diff", "feed", "--baseline", "yesterday", "--out", "page").stdout
    assert "A: feed dt=2026-11-01, 2026-11-01\nB: feed dt=2026-11-02, 2026-11-02" in shown
    assert "no day in common" in shown
    shown = run("diff", "feed", "--baseline", "last:1", "--dt", "2026-11-02").stdout
    assert "A: build 1 dt=2026-11-02, 2026-11-02\nB: feed dt=2026-11-02" in shown
    assert "E0206" in run("diff", "feed", "--baseline", "weekday", code=4).stderr
    first = ["--baseline", "yesterday", "--dt", "2026-11-01"]
    assert "E0206" in run("diff", "feed", *first, code=4).stderr


def test_two_sides_are_to_be_named(built):
    for wrong in (["feed"], ["feed", "feed@1", "--baseline", "yesterday"]):
        assert "E0105" in run("diff", *wrong, code=2).stderr
    alone = run("diff", "feed", code=2).stderr
    assert "what is feed to be compared with?" in alone
    assert "rankdistill diff feed --baseline last:1" in alone
    assert "E0206" in run("diff", "feed", "feed@9", code=4).stderr
    assert "E0107" in run("diff", "feed", "--baseline", "lately", code=2).stderr
    assert "E0202" in run("diff", "feed", "feed@1", "--out", "feed.yaml", code=4).stderr


def test_a_side_without_metrics_is_told_and_its_rows_are_compared(built):
    Path("plain.yaml").write_text(CONFIG + "quality: {measure: false}\nseed: 7\n")
    run("build", "-c", "plain.yaml", "--output", "plain")
    shown = run("diff", "feed", "plain").stdout
    assert "No metrics of all days in plain" in shown
    assert "Rows of pairwise" in shown
    run("build", "-c", "plain.yaml", "--output", "bare", "--set", "seed=20261121")
    shown = run("diff", "feed", "bare").stdout
    assert "equal; nothing else is compared" in shown
    assert "The same" not in shown


def test_damaged_metrics_are_never_compared(built):
    (part, *_) = run("files", "metrics", "--data", "feed").stdout.split()
    Path(part).write_bytes(Path(part).read_bytes()[:-9])
    for verb in (["diff", "feed", "feed@1"], ["baseline", "--data", "feed"]):
        assert "error[E0601]" in run(*verb, code=3).stderr


def test_a_baseline_takes_a_week_and_is_a_block_of_a_config(place):
    simulate("week", days=7, num_requests=200)
    Path("week.yaml").write_text(CONFIG.replace("sim/log", "week/log"))
    run("build", "-c", "week.yaml")
    shown = run("baseline", "--data", "feed").stdout
    gates = yaml.safe_load(shown)["quality"]["gates"]
    assert QualityOptions(gates=gates).chosen_gates()
    Path("own.yaml").write_text(Path("week.yaml").read_text() + shown)
    run("check", "-c", "own.yaml")
    rows = json.loads(run("baseline", "-c", "week.yaml", "--format", "json").stdout)
    assert {row["gate"] for row in rows} == set(gates)
    assert all(row["days"] == 7 for row in rows)


def test_a_baseline_of_two_days_is_refused(built):
    assert "error[E0603]: 2 of 2 days are clean" in run("baseline", "--data", "feed", code=3).stderr
