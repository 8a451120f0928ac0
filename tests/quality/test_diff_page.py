"""The page of `diff` is a pure function of what was found: complete, escaped, offline."""

from __future__ import annotations

import re

import pytest
from page_kit import PAYLOADS, Dom, harmful

from rankdistill.quality import words
from rankdistill.quality.report.changes import sentence
from rankdistill.quality.report.diff import MAX_ROWS, markdown, page, sections, text
from rankdistill.quality.report.redact import redacted_diff


def found(payload: str = "x", **changes):
    """Every section, and `payload` wherever a value of the log or of a config can get."""
    value = {
        "a": payload,
        "b": f"{payload}@2",
        "days": {"a": [payload], "b": [payload]},
        "metrics": {"a": True, "b": True},
        "schema": [
            {"table": "lists", "column": payload, "a": "int64", "b": None},
            {"table": "gone", "column": None, "a": "table", "b": None},
        ],
        "config": [{"key": payload, "a": payload, "b": {payload: [payload]}}],
        "rows": [{"name": "lists", "a": 1_000, "b": 2_500}, {"name": "gone", "a": 77, "b": None}],
        "funnel": [{"name": payload, "a": 3, "b": None}],
        "counts": [{"name": f"rejected.{payload}", "a": 0, "b": 7}],
        "drift": [
            {"distribution": "score", "psi": 0.3, "noise": 0.01, "js": 0.2, "verdict": "fail"}
        ],
        "measures": [_measure("Q07", "ok", "fail"), _measure("Q08", "ok", "ok", b=0.2)],
        "only": {
            "lists": {
                "key": ["request_id", "item_id"],
                **{"only_a": 12_345, "only_b": 0, "examples_b": []},
                "examples_a": [{"request_id": payload, "item_id": payload}],
            },
            "pairwise": {
                "key": ["request_id"],
                **{"only_a": 0, "only_b": 0, "examples_a": [], "examples_b": []},
            },
        },
        "equal": False,
    }
    return value | changes


def _measure(name, before, after, b=0.5):
    shared = {"id": name, "name": f"measure {name}", "unit": "share", "a": 0.1, "b": b}
    verdicts = {"verdict_a": before, "verdict_b": after}
    return {**shared, **verdicts, "worse": after == "fail", "better": before == "fail"}


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_came_from_the_log_is_shown_as_text(payload):
    html = page(found(payload))
    dom = Dom(html)
    assert harmful(dom) == []
    assert dom.text.count(words.plain(payload)) >= 6
    assert "49" not in payload or "49" not in dom.text
    assert all(c.isprintable() or c == "\n" for c in html)
    html.encode()
    assert all(c.isprintable() or c == "\n" for c in text(found(payload)))


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_markdown_shows_it_as_text_too(payload):
    from markdown_it import MarkdownIt

    told = markdown(found(payload))
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(told)
    tags = {tag for tag, _ in Dom(html).elements}
    assert tags <= {"h1", "h2", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert "://" not in told
    assert "@" not in told


def test_the_page_forbids_itself_all_but_its_own_style():
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page(found()))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert page(found()) == page(found())


def test_it_opens_with_what_changed_in_one_sentence_and_what_got_worse():
    told = "1 measure got worse (measure Q07); 1 distribution drifted (score); 2 tables differ "
    assert sentence(found()).startswith(told)
    html = page(found())
    assert '<h1 class="fail">1 measure got worse' in html
    titles = re.findall("<h2>(.*?)</h2>", html)
    assert titles[:2] == ["Measures", "Drift"]
    assert titles[-2:] == ["Rows of lists only in A", "Rows of pairwise"]
    assert Dom(html).text.index("good -> fails") < Dom(html).text.index("Q08")
    for number in ("12,345", "+150.0%", "10%", "50%", "0.3"):
        assert number in html


def test_the_headline_counts_what_got_better_too():
    told = sentence(
        found(measures=[_measure("Q07", "fail", "warn"), _measure("Q08", "fail", "ok")])
    )
    assert told.startswith("2 measures got better (measure Q07, measure Q08)")


def test_tables_of_one_side_and_columns_are_told_apart():
    told = sentence(found())
    assert "1 table only in A (gone)" in told and "1 column changed (lists.x)" in told
    shown = {section.title: section for section in sections(found())}
    assert shown["Tables"].rows == [("gone", "77", "-", "-")]
    assert [row[0] for row in shown["Schema"].rows] == ["lists.x"]
    assert [row[0] for row in shown["Rows"].rows] == ["lists"]


def test_rows_of_one_side_are_counted_whole_though_the_first_are_shown():
    for shown in (page(found()), markdown(found()), text(found())):
        assert "12,345 rows that B lacks, by key." in shown
        assert "12,344 more are not listed" in shown


def test_hidden_ids_are_in_no_form_of_it_and_stay_equal_among_themselves():
    rows = [
        {"request_id": "r_1", "pos_item_id": pos, "neg_item_id": neg, "source": "tail"}
        for pos, neg in ((41, 42), (42, 43))
    ]
    told = {"key": list(rows[0]), "only_a": 2, "only_b": 1}
    plain = found(only={"pairwise": {**told, "examples_a": rows, "examples_b": rows[:1]}})
    hidden, again = (redacted_diff(plain)["only"]["pairwise"] for _ in range(2))
    one, other = hidden["examples_a"]
    assert one["neg_item_id"] == other["pos_item_id"] != one["pos_item_id"]
    assert one["request_id"] == other["request_id"] != again["examples_a"][0]["request_id"]
    assert hidden["examples_b"] == [one]
    for shown in (page, markdown, text):
        told = shown({**plain, "only": {"pairwise": hidden}}).replace("\\", "")
        assert "r_1" not in told and one["request_id"] in told and "tail" in told


def test_sides_that_are_equal_say_so():
    names = ("schema", "config", "rows", "funnel", "counts", "drift", "measures")
    same = found(**{name: [] for name in names}, only={}, equal=True)
    assert sentence(same) == "The same: schema, config, counts and rows are equal."
    assert '<h1 class="ok">' in page(same)
    assert sections(same) == []


def test_what_could_not_be_compared_is_told():
    html = page(found(metrics={"a": True, "b": False}, days={"a": ["d1"], "b": ["d2"]}))
    assert "No metrics of all days in x@2" in html
    assert "no day in common" in html


def test_many_rows_are_cut_and_counted():
    rows = [{"name": f"c{i}", "a": 1, "b": 2} for i in range(5_000)]
    html = page(found(counts=rows))
    assert f"{5_000 - MAX_ROWS:,} more are in diff.json" in html
    assert len(html) < 100_000
    assert f"{5_000 - 12:,} more" in text(found(counts=rows))
