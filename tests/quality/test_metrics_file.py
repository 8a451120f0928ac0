"""metrics.json is read strictly: what is damaged is an error, never a page that looks good."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_kit import document, full, measure

from rankdistill.errors import InputError
from rankdistill.quality.metrics_file import faults, metrics_schema, read_metrics

GOOD = document([measure("Q06"), measure("Q07", "fail")])


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_metrics(text, "metrics.json")
    assert caught.value.code == "E0601"
    return caught.value.found or ""


def changed(path: str, value: Any) -> str:
    """GOOD with `value` at a path; REMOVED takes it out."""
    found: Any = copy.deepcopy(GOOD)
    *way, last = [int(name) if name.isdigit() else name for name in path.split("/")]
    here = found
    for name in way:
        here = here[name]
    if value is REMOVED:
        del here[last]
    else:
        here[last] = value
    return json.dumps(found)


REMOVED = object()


def test_what_was_written_is_read_back():
    for good in (GOOD, full()):
        assert read_metrics(json.dumps(good), "metrics.json") == good


@pytest.mark.fault("43", "metrics.json cut off anywhere", times=1)
def test_a_file_cut_off_anywhere_is_refused(trial, told):
    text = json.dumps(GOOD)
    for place in range(0, len(text), 97):
        refused(text[:place])


@pytest.mark.parametrize("key", metrics_schema()["required"])
def test_a_missing_part_is_named(key):
    assert key in refused(changed(key, REMOVED))


@pytest.mark.parametrize("key", ["id", "value", "n", "verdict", "threshold", "segments", "days"])
def test_a_missing_part_of_a_measure_is_named(key):
    assert refused(changed(f"measures/1/{key}", REMOVED)) == f"measures[1] has no {key}"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("schema_version", 2, "schema_version 2, and this version knows 1"),
        ("schema_version", "x" * 1000, "and this version knows 1"),
        ("measures", [], "measures: 0 entries"),
        ("measures", {}, "is not array"),
        ("days", [], "days: 0 entries"),
        ("verdict", "green", "is none of"),
        ("verdict", "ok", "the verdict is ok, and that of a measure fail"),
        ("num_verdicts/fail", 0, "the measures say otherwise"),
        ("counts/candidates", -1, "below 0"),
        ("counts/candidates", True, "is not integer"),
        ("facts/provenance", [], "is not object"),
        ("measures/0/value", "0", "is not number or null"),
        ("measures/0/n", 1.5, "is not integer"),
        ("measures/0/id", "Q07", "stands there twice"),
        ("measures/0/unit", "furlong", "is none of"),
        ("measures/0/value", 0.9, "Q06: the value is called ok, and by its gate is fail"),
        ("measures/0/chance", {"": -1}, "below 0"),
        ("measures/1/verdicts/", "ok", "is called ok, and by its gate is fail"),
        ("measures/1/verdicts/made_up", "ok", "made_up is called ok, and by its gate is none"),
        ("measures/0/days/2026-11-01/value", 0.9, "2026-11-01 is called ok, and its value is fail"),
        ("measures/1/days/2026-11-01/value", -5, "-5 is no share"),
        ("days", ["2026-11-02"], "Q06.days are not the days of the document"),
        ("days", ["2026-11-01", "2026-11-01"], "one stands there twice"),
        ("measures/0/threshold//warn", [1, 2], "[1, 2] is no bound of what is bad above"),
        ("measures/0/threshold//worse", "outside", "is no bound of what is bad outside"),
        ("measures/0/threshold//warn", [1], "[1] is not number or null"),
        ("measures/0/threshold//warn", "5 %", "is not"),
        ("measures/0/histogram", {"h": {"labels": ["1"], "counts": [], "unit": ""}}, "differ"),
        ("measures/0/examples", [{"request_id": 1}], "has no item_id"),
    ],
)
@pytest.mark.fault(
    "43", "metrics.json that contradicts itself or its schema, or of another version", times=1
)
def test_what_is_wrong_is_told(path, value, says, trial, told):
    assert says in refused(changed(path, value))


def test_a_verdict_that_chance_explains_is_none_too_mild_and_a_segment_is_judged_too():
    mild = measure("Q06", value=0.4, chance={"": 0.36})
    assert read_metrics(json.dumps(document([mild])), "m")["verdict"] == "ok"
    assert "called ok" in refused(json.dumps(document([mild | {"chance": {"": 0.34}}])))
    segment = measure("Q06", segment="scene=home", value=0.9)
    told = refused(json.dumps(document([measure("Q06", segments=[segment])])))
    assert told == "Q06: scene=home is called ok, and by the gates is fail"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "[" * 100_000, "null", "[]", '"ok"'])
def test_what_is_no_document_is_refused(text):
    refused(text)
    refused(json.dumps(GOOD).replace("0.0312", text, 1) if text[0] not in "n" else text)


@given(st.data())
def test_no_single_value_can_be_replaced_by_another_type_unseen(data):
    """Any leaf of the document turned into an object is refused: the schema reaches all of it."""
    leaves = [path for path in paths(GOOD) if not path.startswith(("facts/", "num_verdicts/"))]
    assert refused(changed(data.draw(st.sampled_from(leaves)), {"not": "this"}))


def paths(node: Any, above: str = "") -> list[str]:
    if isinstance(node, dict | list) and node:
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        return [p for key, inner in pairs for p in paths(inner, f"{above}{key}/")]
    return [above[:-1]] if not isinstance(node, dict) else []


def test_the_schema_uses_only_what_its_reader_understands():
    known = {"$schema", "$ref", "$defs", "title", "description", "type", "const", "enum", "anyOf"}
    known |= {"required", "properties", "additionalProperties", "items", "minimum", "minItems"}
    assert words_of(metrics_schema()) <= known | {"maxItems"}


def words_of(schema: Any) -> set[str]:
    """The words of JSON Schema used in a schema and in all within it."""
    if not schema:
        return set()
    found = set(schema)
    for key in ("properties", "$defs"):
        for inner in schema.get(key, {}).values():
            found |= words_of(inner)
    for inner in (*schema.get("anyOf", ()), schema.get("items", {})):
        found |= words_of(inner)
    return found | words_of(schema.get("additionalProperties", {}))


def test_a_fault_in_one_branch_of_several_is_told():
    bound = metrics_schema()["$defs"]["bound"]
    assert [list(faults(good, bound)) for good in (None, 0.5, [0, 1])] == [[], [], []]
    assert list(faults("x", bound))
