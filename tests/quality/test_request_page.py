"""A request as a page: everything that `preview` knows of it, as text, without a script."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from test_report import PAYLOADS, Dom, harmful

from rankdistill.quality import words
from rankdistill.quality.preview import Preview
from rankdistill.quality.report.request_page import MAX_ROWS, request_page

TIME = datetime(2026, 11, 1, 11, 31, 18, 169805, UTC)


def shown(item: Any = 7, num: int = 3, **changes: Any) -> Preview:
    """A request of `num` candidates, of which the first is `item`."""
    items = [item, *range(100, 99 + num)]
    candidates = [
        {
            **{"place": i + 1, "item_id": name, "stage": "exposed" if i == 0 else "recalled"},
            **{"teacher_rank": i + 1, "teacher_score": -0.5 / (i + 1), "click": None if i else 1.0},
        }
        for i, name in enumerate(items)
    ]
    samples = {
        "pointwise": [{"item_id": item, "label": 1.0, "weight": 4 / 3, "source": "top_k"}],
        "pairwise": [{"pos_item_id": item, "neg_item_id": 100, "weight": 1.0, "probability": 0.4}],
        "listwise": [],
        "negatives": [{"item_id": 12_345, "probability": 0.00001, "source": "popular"}],
    }
    reasons = [
        *({"place": i + 1, "item_id": n, "pointwise": f"reason {i}"} for i, n in enumerate(items)),
        {"place": None, "item_id": 12_345, "negatives": "drawn from the catalogue"},
    ]
    head = {"request_id": 5, "user_id": 1811, "request_time": TIME, "split": "all", "scene": None}
    return Preview({**head, **changes}, candidates, samples, reasons, 3)


def test_it_shows_the_request_its_candidates_why_and_the_samples_of_each_kind():
    dom = Dom(request_page(shown(), "build 3 of feed"))
    order = ["build 3 of feed", "Request 5", "1811", "2026-11-01 11:31:18+00:00", "Candidates"]
    order += ["exposed 1", "recalled 2", "What became of each", "drawn from the catalogue"]
    order += ["Pointwise", "1.3333", "top_k", "Pairwise", "0.4", "Listwise", "No row was made"]
    order += ["Negatives", "12345", "1e-05"]
    place = 0
    for text in order:
        place = dom.text.index(text, place)
    assert dom.count("table") == 5


def test_it_takes_the_width_there_is_and_on_paper_long_ids_break_and_nothing_is_cut():
    text = request_page(shown(), "x")
    assert '<body class="broad">' in text
    _, _, paper = text.partition("@media print")
    assert ".scroll { overflow: visible" in paper
    assert ".sheet td.left { overflow-wrap: anywhere; }" in paper


def test_without_why_there_are_no_reasons_and_columns_without_a_value_are_left_out():
    found = shown()
    text = request_page(Preview(found.head, found.candidates, found.samples), "x")
    assert "What became" not in text
    assert ">scene<" not in text
    assert "item id" not in text


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_ids_and_values_of_the_log_are_shown_as_text(payload):
    found = shown(payload, request_id=payload, user_id=payload, **{payload: payload})
    rows = [{"item_id": payload, payload: payload, "stage": payload, "lst": [payload, 1]}]
    samples = {**found.samples, "pointwise": rows, payload: rows}
    reasons = [{"item_id": payload, payload: payload}]
    text = request_page(Preview(found.head, rows, samples, reasons, 1), payload)
    dom = Dom(text)
    assert harmful(dom) == []
    assert words.plain(payload) in dom.text
    assert "49" not in dom.text or "49" in payload
    assert all(c.isprintable() or c == "\n" for c in text)
    text.encode()


def test_the_page_forbids_itself_all_but_its_own_style():
    text = request_page(shown(), "x")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not re.search(r"https?:|url\(|@import", text, re.IGNORECASE)


def test_ids_are_cut_and_long_requests_too():
    text = request_page(shown("i" * 300, num=MAX_ROWS + 20), "x")
    assert "i" * 200 + "..." in text
    assert "i" * 201 not in text
    assert "20 more rows are left out." in text
    assert "21 more rows are left out." in text  # of the reasons
    assert len(text) < 2_000_000


def test_a_request_without_candidates_or_samples_is_a_page_too():
    text = request_page(Preview({"request_id": "r"}, [], {"pairwise": []}), "x")
    assert "No row was made of this request." in Dom(text).text
