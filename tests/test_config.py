"""A document against models: what is accepted, what is refused and how it is told."""

from __future__ import annotations

import datetime
import json
import re
import shlex
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator
from told import outcome, told

from rankdistill.config import (
    Document,
    Options,
    apply_overrides,
    config_hash,
    json_schema,
    load,
    read_document,
    reveal,
)
from rankdistill.errors import ConfigError, render
from rankdistill.quality.options import QualityOptions, gate_names


class Inverse(Options):
    kind: Literal["inverse"] = "inverse"
    a: float = Field(1.0, gt=0)


class Even(Options):
    kind: Literal["even"] = "even"


class Column(Options):
    column: str
    unit: Literal["s", "ms"] = "s"


class Flags(Options):
    from_: Literal["flags"] = Field(alias="from")
    flags: dict[str, str] = Field(default={})


class Values(Options):
    from_: Literal["values"] = Field(alias="from")
    values: dict[int, str] = Field(default={})


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


# The schema of such a field may be given by hand, and says nothing of the list's entries.
OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_listed), WithJsonSchema({})]


class Pairs(Options):
    top_k: int = Field(10, ge=1, le=100)
    weight: Annotated[Inverse | Even, Field(discriminator="kind")] = Even()
    ratio: float = 0.5
    allow_exposed: bool = False

    @field_validator("ratio")
    @classmethod
    def _ratio(cls, ratio: float) -> float:
        if ratio == 13:
            raise ValueError("13 brings bad luck")
        return ratio

    @model_validator(mode="after")
    def _combination(self) -> Pairs:
        if self.allow_exposed and self.top_k > 50:
            raise ValueError("top_k over 50 does not go with allow_exposed")
        return self


class Root(Options):
    """All of it."""

    output: str
    seed: int = 0
    pairs: Pairs | None = None
    stage: Annotated[Flags | Values, Field(discriminator="from_")] | None = None
    ids: tuple[str, ...] = ()
    columns: dict[str, str | Column] = Field(default={})
    mixed: list[int | float | str] = Field(default=[])
    order: Literal["rank", "score"] = "rank"
    day: datetime.date | None = None
    either: OneOrMore = ()
    conf: dict[str, str] = Field(default={})


def loaded(text: str, *overrides: str) -> Root:
    return load(Root, apply_overrides(read_document(text, "a.yaml"), overrides))


def test_lists_do_for_tuples_whole_numbers_for_floats_and_text_for_dates() -> None:
    options = loaded(
        "output: o\nids: [a, b]\nday: 2026-11-01\npairs: {ratio: 1}\nmixed: [1, 1.5, x, 007]\n"
        "stage: {from: values, values: {1: x}}\ncolumns: {a: x, b: {column: y}}\n"
    )
    assert options.ids == ("a", "b")
    assert loaded("output: o\neither: [a, b]").either == ("a", "b")
    assert options.day == datetime.date(2026, 11, 1)
    assert options.pairs is not None
    assert isinstance(options.pairs.ratio, float)
    assert options.mixed == [1, 1.5, "x", "007"]
    assert isinstance(options.stage, Values)
    assert options.stage.values == {1: "x"}
    assert options.columns == {"a": "x", "b": Column(column="y")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "seed: '5'",
            '1:7 E0104 seed must be a whole number | "5" (text) | did you mean 5?   --set seed=5',
        ),
        (
            "seed: 1e3",
            "1:7 E0104 seed must be a whole number | 1e3, read as 1000.0 | "
            "did you mean 1000?   --set seed=1000",
        ),
        (
            "seed: 007",
            '1:7 E0104 seed must be a whole number | "007" (text) | did you mean 7?   --set seed=7',
        ),
        (
            "seed:",
            "1:6 E0104 seed must be a whole number | null | the default is 0   --set seed=0",
        ),
        (
            "ids: [a, 1e3]",
            "1:10 E0104 ids.1 must be text | 1e3, read as 1000.0 | "
            'did you mean "1e3"?   --set \'ids.1="1e3"\'',
        ),
        (
            "ids: x",
            '1:6 E0104 ids must be a list (of text) | "x" (text) | '
            'did you mean ["x"]?   --set \'ids=["x"]\'',
        ),
        (
            "pairs: {allow_exposed: no}",
            '1:24 E0104 pairs.allow_exposed must be true or false | "no" (text) | '
            "did you mean false?   --set pairs.allow_exposed=false",
        ),
        (
            "pairs: {top_k: 0}",
            "1:16 E0104 pairs.top_k must be a whole number, at least 1 and at most 100 | 0 | "
            "did you mean 1?   --set pairs.top_k=1",
        ),
        (
            "pairs: {top_k: 1000}",
            "1:16 E0104 pairs.top_k must be a whole number, at least 1 and at most 100 | 1000 | "
            "did you mean 100?   --set pairs.top_k=100",
        ),
        (
            "pairs: {weight: {kind: inverse, a: 0}}",
            "1:36 E0104 pairs.weight.a must be a number, above 0 | 0 | "
            "the default is 1.0   --set pairs.weight.a=1.0",
        ),
        (
            "pairs: {topk: 3}",
            '1:9 E0103 unknown key "topk" in pairs | topk; known are top_k, weight, ratio, '
            'allow_exposed | did you mean "top_k"? rename the key in line 1',
        ),
        (
            "pairs: {weight: {kind: invers}}",
            '1:24 E0107 pairs.weight.kind is not a known name | "invers" (text); known are '
            'even, inverse | did you mean "inverse"?   --set pairs.weight.kind=inverse',
        ),
        (
            "pairs: {weight: {a: 1}}",
            "1:9 E0106 pairs.weight.kind is missing | a; known are even, inverse | "
            "--set pairs.weight.kind=even",
        ),
        (
            "pairs: {weight: even}",
            "1:17 E0104 pairs.weight must be a block with kind: even | inverse | "
            '"even" (text) | did you mean {"kind": "even"}?   '
            '--set \'pairs.weight={"kind": "even"}\'',
        ),
        (
            "stage: {from: flags, flags: {a: x}, bad: 1}",
            '1:37 E0103 unknown key "bad" in stage | bad; known are from, flags | None',
        ),
        (
            "stage: {from: flags, flags: {a: 1}}",
            "1:33 E0104 stage.flags.a must be text | 1 | "
            'did you mean "1"?   --set \'stage.flags.a="1"\'',
        ),
        (
            "stage: {from: flag}",
            '1:15 E0107 stage.from is not a known name | "flag" (text); known are flags, values | '
            'did you mean "flags"?   --set stage.from=flags',
        ),
        (
            "stage: {flags: {}}",
            "1:1 E0106 stage.from is missing | flags; known are flags, values | "
            "--set stage.from=flags",
        ),
        (
            "order: scores",
            '1:8 E0107 order must be one of rank, score | "scores" (text) | '
            'did you mean "score"?   --set order=score',
        ),
        (
            "day: 2026-13-01",
            '1:6 E0104 day must be a date such as 2026-11-01 | "2026-13-01" (text) | None',
        ),
        (
            "columns: {a: 5}",
            "1:14 E0104 columns.a must be text or a block with the keys column, unit | 5 | None",
        ),
        (
            "columns: {a: {column: x, unti: s}}",
            '1:26 E0103 unknown key "unti" in columns.a | unti; known are column, unit | '
            'did you mean "unit"? rename the key in line 1',
        ),
        (
            "columns: {a: {unit: h}}",
            "1:11 E0106 columns.a.column is missing | unit | "
            "--set columns.a.column=VALUE   (text) && "
            '1:21 E0107 columns.a.unit must be one of s, ms | "h" (text) | '
            'the default is "s"   --set columns.a.unit=s',
        ),
        (
            "mixed: [1, true]",
            "1:12 E0104 mixed.1 must be a whole number or a number or text | true | None",
        ),
        (
            "either: [1]",
            "1:10 E0104 either.0 must be text | 1 | None",
        ),
        (
            "pairs: {ratio: 13}",
            "1:16 E0104 pairs.ratio: 13 brings bad luck | 13 | None",
        ),
        (
            "pairs: {allow_exposed: true, top_k: 60}",
            "1:1 E0105 pairs: top_k over 50 does not go with allow_exposed | None | None",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_place_what_is_known_and_a_fix(
    text: str, expected: str
) -> None:
    assert told(loaded, f"{text}\noutput: o\n") == expected.split(" && ")


class Shares(Options):
    mix: dict[Literal["popular", "tail"], float] = Field(default={})


def test_a_wrong_name_in_a_mapping_is_told_with_the_names_that_are_known() -> None:
    def shares(text: str) -> Shares:
        return load(Shares, read_document(text, "a.yaml"))

    assert told(shares, "mix:\n  populer: 1\n") == [
        '2:3 E0103 unknown name "populer" in mix | populer; known are popular, tail | '
        'did you mean "popular"? rename the key in line 2'
    ]


def test_of_many_names_those_that_are_like_a_wrong_one_are_known() -> None:
    (error,) = told(_gates, '{"Q6": null}')
    assert error == (
        f'1:9 E0103 unknown name "Q6" in gates | Q6; {len(gate_names())} are known, such as Q06, '
        'Q26, Q16 | did you mean "Q06"? rename the key in line 1'
    )


@pytest.mark.parametrize("part", ["least_fill", "least_fil"])
def test_a_name_that_holds_a_dot_is_advised_where_it_was_taken_for_two(part: str) -> None:
    (error,) = told(_gates, "{}", f"gates.Q18.{part}=null")
    fix = """--set 'gates."Q18.least_fill"=null'"""
    assert error.endswith(f'did you mean "Q18.least_fill", a key of gates?   {fix}')
    fixed = _gates("{}", shlex.split(fix)[1])
    assert fixed.gates == {"Q18.least_fill": None}


def test_a_slip_in_a_gates_own_key_is_told_as_one() -> None:
    (error,) = told(_gates, "{Q06: {wran: 0.1}}")
    assert error.endswith('did you mean "warn"? rename the key in line 1')


def _gates(text: str, *overrides: str) -> QualityOptions:
    document = read_document(f"gates: {text}", "a.yaml")
    return load(QualityOptions, apply_overrides(document, overrides))


def test_a_missing_key_is_told_with_what_is_there() -> None:
    (error,) = told(loaded, "seed: 1\norder: rank\n")
    assert error == "1:1 E0106 output is missing | seed, order | --set output=VALUE   (text)"


def test_all_faults_are_told_at_once_in_the_order_of_the_file_and_overrides_last() -> None:
    text = "seed: x\nouput: o\npairs:\n  top_k: 0\n  weight: {kind: none}\nids: [1]\n"
    errors = told(loaded, text, "pairs.topk=3", "order=5")
    places = [error.split()[0] for error in errors]
    codes = [error.split()[1] for error in errors]
    assert places == ["1:1", "1:7", "2:1", "4:10", "5:18", "6:7", "1:1", "2:7"]
    assert codes == [*("E0106", "E0104", "E0103", "E0104", "E0107", "E0104", "E0103", "E0104")]
    assert 'did you mean "top_k"?   --set pairs.topk=3'.replace("topk", "top_k") in errors[-2]


WRONG = st.sampled_from([None, True, 5, -1, 1.5, "x", "no", [], [1], {}, {"kind": "x"}, {"x": 1}])


@given(st.dictionaries(st.sampled_from([*Root.model_fields, "x"]), WRONG, max_size=6))
def test_any_wrong_config_is_told_in_our_words(data: dict) -> None:
    document = read_document(json.dumps(data), "a.yaml")
    options, faults = outcome(load, Root, document)
    text = "\n".join(render(fault) for fault in faults)
    assert not re.search("pydantic|http|Input should", text)
    assert len({(fault.place, fault.message) for fault in faults}) == len(faults)
    assert faults or options.output == data["output"]


@given(st.integers(0, 3), st.integers(-5, 200))
def test_the_fix_of_a_bound_is_accepted(lines: int, top_k: int) -> None:
    text = "\n" * lines + f"output: o\npairs: {{top_k: {top_k}}}\n"
    _, faults = outcome(loaded, text)
    assert bool(faults) == (not 1 <= top_k <= 100)
    fixes = [(fault.help or "").split("--set ")[1] for fault in faults]
    assert loaded(text, *fixes).pairs


def test_an_environment_reference_stays_one_until_it_is_revealed() -> None:
    options = loaded("output: o\nconf: {key: '${env:CANARY}'}\n")
    assert options.conf == {"key": "${env:CANARY}"}
    assert reveal(options.conf["key"], {"CANARY": "s3cret"}) == "s3cret"
    assert reveal("plain ${env:CANARY}", {}) == "plain ${env:CANARY}"
    with pytest.raises(ConfigError, match="CANARY is not set"):
        reveal("${env:CANARY}", {})


def test_an_environment_reference_elsewhere_is_refused() -> None:
    (error,) = told(loaded, "output: ${env:OUT}\n")
    assert error.startswith("1:9 E0109 output holds ${env:OUT}, read only under conf")


def dump(document: Document) -> dict[str, Any]:
    return load(Root, document).model_dump(mode="json")


def test_the_hash_of_a_config_depends_on_its_values_alone() -> None:
    one = dump(read_document("output: o\nseed: 1\npairs: {top_k: 3, ratio: 1}\n", "a.yaml"))
    two = dump(read_document("pairs: {ratio: 1.0, top_k: 3}\n\nseed: 1\noutput: o\n", "b.yaml"))
    assert config_hash(one) == config_hash(two)
    assert config_hash(one) != config_hash({**one, "seed": 2})
    assert config_hash(one, ["seed"]) == config_hash({**one, "seed": 2}, ["seed"])


def test_the_hash_is_sha256_of_sorted_compact_json() -> None:
    # printf '{"a":"\\u00e9","b":[1,null]}' | sha256sum
    expected = "9b10bedce64e86a275540261fbe95bc6c195bfb10d5def7a5fc12eefcc7d0a87"
    assert config_hash({"b": [1, None], "a": "\u00e9"}) == expected


def test_the_json_schema_names_its_draft_and_every_key() -> None:
    schema = json_schema(Root)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "rankdistill configuration"
    assert schema["description"] == "All of it."
    assert set(schema["properties"]) == set(Root.model_fields)
    assert schema["additionalProperties"] is False


def test_options_are_frozen_and_know_their_keys() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Column(column="a").column = "b"  # type: ignore[misc]
    arguments = {"column": "a", "colunm": "b"}
    with pytest.raises(ValueError, match="colunm"):
        Column(**arguments)
