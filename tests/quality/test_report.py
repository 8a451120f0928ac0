"""The report is a pure function of metrics.json: complete, escaped, offline, small."""

from __future__ import annotations

import json
import re
import time
from xml.etree import ElementTree as Xml

import pytest
from page_kit import PAYLOADS, Dom, harmful
from report_kit import day, document, full, histogram, measure

from rankdistill.quality import cookbook, words
from rankdistill.quality.junit import junit
from rankdistill.quality.measures import MEASURES
from rankdistill.quality.report.bins import MAX_NAMES, bins_of
from rankdistill.quality.report.markdown import escaped, markdown
from rankdistill.quality.report.page import page
from rankdistill.quality.report.pictures import picture
from rankdistill.quality.report.redact import redacted
from rankdistill.quality.report.sections import SECTIONS


def poisoned(payload: str) -> dict:
    """`payload` wherever a value of the log or of the config can get into metrics.json."""
    bad = measure(
        "Q07",
        "fail",
        note=payload,
        parts={payload: 0.5, f"share.{payload}": 0.5},
        threshold={"": {"warn": 0.01, "fail": 0.02, "worse": "above"}},
        histogram={
            payload: histogram([payload, f"{payload} 2"], [3, 4], payload),
            "ordered": histogram([f"{i} {payload}" for i in range(4)], [1, 2, 3, 4], payload),
            "grid": histogram(
                [f"{a} / {b}{payload[:9]}" for a in "xy" for b in "zw"], [1, 2, 3, 4]
            ),
        },
        segments=[measure("Q07", segment=f"scene={payload}")],
        days={f"{payload}{i}": day(0.5, "fail", 1) for i in range(4)},
        examples=[{"request_id": payload, "item_id": payload, "note": payload}],
    )
    silent = measure("Q08", "not applicable", why=payload, name=payload)
    found = document([bad, silent, measure(payload, what=payload, name=payload)])
    found["days"] = [payload, payload]
    found["facts"] |= {"student": payload, "feedback": [payload], payload: payload}
    found["facts"]["kinds"] = {payload: {payload: payload}}
    found["facts"]["provenance"] = {payload: payload}
    found["counts"][payload] = found["door"][f"rejected.{payload}"] = 3
    return found


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_came_from_the_log_is_shown_as_text(payload):
    text = page(poisoned(payload), payload)
    dom = Dom(text)
    assert harmful(dom) == []
    shown = words.plain(payload)
    assert shown in dom.text
    assert "49" not in shown or "49" not in dom.text
    assert all(c.isprintable() or c == "\n" for c in text)
    text.encode()


def test_there_are_sixty_payloads_and_the_reader_sees_what_is_harmful():
    assert len(set(PAYLOADS)) >= 60
    for text in ("<script></script>", "<p onclick='x'></p>", "<a href='http://x'></a>"):
        assert harmful(Dom(text))


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_markdown_and_junit_show_it_as_text_too(payload):
    from markdown_it import MarkdownIt

    text = markdown(poisoned(payload), payload)
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    tags = {tag for tag, _ in Dom(html).elements}
    assert tags <= {
        *("h1", "h2", "h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary", "code", "em"),  # of the cookbook
    }
    assert "://" not in text
    assert "@" not in text
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {3, 4, 6}
    cases = Xml.fromstring(junit(poisoned(payload), "fail"))
    assert [case.tag for case in cases] == ["testcase"] * 3


def test_markdown_shows_a_few_examples_of_what_is_bad_unless_ids_are_not_wanted():
    rows = [{"request_id": f"r{n}", "item_id": None, "note": "rank 3 twice"} for n in range(9)]
    found = document([measure("Q07", "fail", examples=rows), measure("Q08", examples=rows)])
    shown = [line for line in markdown(found, "x").split("\n") if "rank 3 twice" in line]
    assert shown == [f"| r{n} | \\- | rank 3 twice |" for n in range(5)]
    assert "r0" not in markdown(found, "x", examples=False)


def test_a_cell_of_markdown_does_nothing():
    assert escaped("a|b`c*d_e") == r"a\|b\`c\*d\_e"
    assert escaped("- 1. x") == r"\- 1. x"
    assert escaped("1. x\n# y") == r"1&#46; x\x0a\# y".replace(r"\x0a", r"\\x0a")
    assert (
        escaped("see http://x.y and www.z.y, @me") == "see http&#58;//x.y and www&#46;z.y, &#64;me"
    )


def test_the_page_forbids_itself_all_but_its_own_style():
    text = page(full(), "build 3 of feed")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert harmful(Dom(text)) == []
    assert not re.search(r"https?:|url\(|@import|xmlns|matplotlib", text, re.IGNORECASE)


def test_the_page_says_the_verdict_then_what_fails_then_the_rest_in_order():
    text = Dom(page(full(), "build 3 of feed")).text
    order = ["Do not train on this yet: 1 measure fails (Teacher ties)", "What to look at first"]
    order += ["Q07 Teacher ties", "Q17 Weight mass", *(section.title for section in SECTIONS)]
    places = [text.rindex(title) if title in order[4:] else text.index(title) for title in order]
    assert places == sorted(places)
    assert places[-1] < text.index("Other measures", places[-1]) < text.rindex("Provenance")


def test_on_paper_what_is_folded_stands_open_but_for_the_pages_of_measures():
    html = page(full(), "feed")
    folds = re.findall(r"<details([^>]*)><summary>(.*?)</summary>", html)
    told = {summary for attributes, summary in folds if "cookbook" in attributes}
    assert told == {"What this means and what to do"} < {summary for _, summary in folds}
    paper = html.partition("@media print")[2].partition("</style>")[0]
    assert ".cookbook { display: none; }" in paper
    assert "details::details-content { content-visibility: visible; }" in paper


def test_every_measure_has_its_place_and_is_on_the_page():
    placed = [name for section in SECTIONS for name in section.measures]
    assert len(placed) == len(set(placed))
    assert set(MEASURES) <= set(placed) == {"funnel", *(f"Q{n:02d}" for n in range(1, 35))}
    found = full()
    text = Dom(page(found, "x")).text
    assert not [m["id"] for m in found["measures"] if m["id"] not in text]


def test_every_picture_has_its_numbers_beside_it():
    found = measure("Q06", histogram={"length": histogram(["1", "2-4", "5+"], [7, 1234, 56])})
    dom = Dom(page(document([found]), "x"))
    assert dom.count("svg") == dom.count("figure") == 2
    for number in ("1,234", "95.1%", "56", "4.3%"):
        assert number in dom.text


def test_the_page_is_small_and_quick_and_the_same_each_time():
    found = full(days=31)
    first = page(found, "x")
    start = time.process_time()
    assert page(found, "x") == first
    assert time.process_time() - start < 2
    assert len(first.encode()) < 1_000_000
    assert page(json.loads(json.dumps(found)), "x") == first


def test_a_document_of_many_days_segments_and_names_stays_small():
    found = measure(
        "Q07",
        "fail",
        histogram={"named": histogram([f"n{i}" for i in range(5_000)], range(5_000))},
        segments=[measure("Q07", segment=f"scene={i}") for i in range(2_000)],
        days={f"d{i}": day(0.5, "fail", 9) for i in range(1_000)},
        examples=[{"request_id": "r" * 9_000, "item_id": "i", "note": ""}] * 500,
        parts={f"p{i}": 1.0 for i in range(2_000)},
    )
    big = document([{**found, "id": f"Q{n:02d}"} for n in range(1, 35)])
    assert len(page(big, "x")) < 1_000_000
    assert len(markdown(big, "x")) < 100_000


def test_ids_are_cut_and_can_be_hidden():
    example = {"request_id": "r" * 300, "item_id": 7, "note": "as item 8"}
    found = document([measure("Q07", "fail", examples=[example, {**example, "item_id": None}])])
    assert "r" * 200 + "..." in page(found, "x")
    assert "r" * 201 not in page(found, "x")
    one, other = redacted(found, b"salt"), redacted(found)
    assert one == redacted(found, b"salt") != other
    first, second = one["measures"][0]["examples"]
    assert first["request_id"] == second["request_id"] != "r" * 300
    assert (second["item_id"], first["note"]) == (None, "")
    assert found["measures"][0]["examples"][0] == example


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (["ok", "ok"], "Fit to train on: of 2 measures 2 were judged and none fails or warns."),
        (["ok", "not applicable"], "of 2 measures 1 was judged and none fails or warns."),
        (["ok", "warn"], "Look before you train: 1 measure warns (Teacher ties); 1 good, "),
        (["fail", "fail", "warn"], "2 measures fail (Request length, Teacher ties) and 1 measure "),
        (["not applicable"], "Nothing could be judged"),
    ],
)
def test_the_verdict_is_one_sentence(verdicts, told):
    pairs = zip(("Q06", "Q07", "Q08"), verdicts, strict=False)
    assert told in words.sentence(document([measure(name, v) for name, v in pairs]))


def test_what_was_not_judged_and_too_few_requests_stand_in_the_verdict():
    found = document([measure("Q06"), measure("Q10", "not applicable", name="Teacher signal")])
    told = "; not judged: Teacher signal (no teacher score is mapped)."
    assert words.sentence(found).startswith("Fit to train on: of 2 measures 1 was")
    assert words.sentence(found).endswith(told)
    for num, few in ((1, "1 request is too few"), (99, "99 requests are too few")):
        told = words.sentence(found | {"counts": {"requests": num}})
        assert words.sentence(
            document([measure("Q06", "warn")], counts={"requests": num})
        ).endswith(f"; {few} to say (less than 100).")
        assert "Fit" not in told and f"but {few} to say (less than 100): of 2" in told


def test_a_bad_day_is_named_though_all_days_together_are_good():
    days = {
        "d1": day(0.9, "fail", 1),
        "d2": day(0, "ok", 9),
    }
    found = measure("Q07", "fail", verdicts={"": "ok"}, days=days)
    told = "rows that are not what they should be: 90% on d1 (warns above 5%, fails above 30%)"
    assert words.reasons(found) == ["on 1 of 2 days: d1", told]
    days["d1"] = day(0, "warn", 1, used=0.0)
    found["threshold"]["used"] = {"warn": 0, "fail": None, "worse": "below"}
    assert words.reasons(found)[1] == "used: 0 on d1 (warns at or below 0)"


def test_histograms_of_the_same_bins_share_a_picture_in_shares():
    same = {"drawn": histogram("ab", [1, 3]), "wanted": histogram("ab", [10, 10])}
    together, alone = bins_of({**same, "other": histogram("abc", [1, 1, 1])})
    assert together.caption == "Drawn and wanted (share of rows)"
    assert list(together.rows()) == [["a", "25.0%", "50.0%"], ["b", "75.0%", "50.0%"]]
    assert next(alone.rows()) == ["a", "1", "33.3%"]


def test_means_have_no_shares_and_empty_histograms_no_picture():
    (found,) = bins_of(
        {"m": histogram("12", [0.5, -1], "mean weight"), "none": histogram("12", [0, 0])}
    )
    assert found.header() == ["", "mean weight"]
    assert bins_of({"none": histogram([], [])}) == []


def test_empty_ends_and_small_names_are_left_out_and_told():
    (found,) = bins_of({"h": histogram([str(i) for i in range(9)], [0, 0, 0, 5, 0, 5, 0, 0, 0])})
    assert found.labels == ("2", "3", "4", "5", "6")
    assert found.left_out == "4 more bins at the ends are empty."
    (found,) = bins_of({"h": histogram([f"n{i}" for i in range(30)], range(30))})
    assert found.labels == tuple(f"n{i}" for i in range(30 - MAX_NAMES, 30))
    assert list(found.rows())[-1][-1] == words.share_text(29 / sum(range(30)))


def test_a_funnel_s_shares_are_of_its_first_stage():
    (found,) = bins_of({"funnel": histogram(["recalled", "ranked"], [200, 50], "candidates")})
    assert list(found.rows()) == [["recalled", "200", "100.0%"], ["ranked", "50", "25.0%"]]


def test_pairs_of_labels_are_a_grid():
    labels = [f"{a} / {b}" for a in ("1", "2-5") for b in ("1", "2-5", "6+")]
    (found,) = bins_of({"positive_by_negative": histogram(labels, range(6), "pairs")})
    assert found.caption == "Positive by negative (pairs, down and across)"
    assert list(found.rows()) == [["1", "0", "1", "2"], ["2-5", "3", "4", "5"]]
    assert picture(found).inner().count("<path") == 6


@pytest.mark.parametrize("values", [[1e-9, 1e12], [-3, 0.0], [5], [0, 0, 1]])
@pytest.mark.parametrize("labels", ["0123456789", "abcdefghij"])
def test_any_numbers_can_be_drawn_within_the_picture(values, labels):
    found = bins_of({"h": histogram(labels, (values * 10)[:10], "mean")})
    sheet = picture(found[0])
    numbers = re.findall(r'\b[xy]="(-?[\d.]+)"', sheet.inner())
    assert numbers
    assert all(-1 <= float(n) <= max(sheet.width, sheet.height) for n in numbers)


def test_the_cookbook_is_of_measures_that_are_and_says_what_to_do():
    for name, text in cookbook.cookbook().items():
        assert name in MEASURES
        assert text.startswith("# ")
        assert cookbook.to_do(name)


def test_junit_counts_failures_by_what_is_a_failure():
    found = document(
        [
            measure("Q06"),
            measure("Q07", "fail"),
            measure("Q08", "warn"),
            measure("Q09", "not applicable"),
        ]
    )
    counts = {
        f: Xml.fromstring(junit(found, f)).attrib["failures"] for f in ("fail", "warn", "never")
    }
    assert counts == {"fail": "1", "warn": "2", "never": "0"}
    assert Xml.fromstring(junit(found, "fail")).attrib["skipped"] == "1"
