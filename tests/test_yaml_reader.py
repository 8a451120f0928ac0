"""What YAML is read as, and what is refused, with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from told import outcome, told

from rankdistill.document import read_document, read_file
from rankdistill.errors import UserErrors


def read(text: str) -> Any:
    return read_document(text, "a.yaml").data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, word) for word in ("no", "yes", "on", "off", "y", "N", "nan", "inf", "=", "<")],
        *[("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue")],
        *[("null", None), ("~", None), ("", None), ("Null", None), ("none", "none")],
        *[("1e3", 1000.0), ("1E-3", 0.001), (".5", 0.5), ("1.", 1.0), ("+12", 12), ("-0", 0)],
        *[("0o17", 15), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"), ("0", 0)],
        *[("007", "007"), ("-01", "-01"), ("00.5", "00.5"), ("0777", "0777"), ("08", "08")],
        *[("12:30:00", "12:30:00"), ("1:30", "1:30"), ("2026-11-01", "2026-11-01")],
        *[("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"), ("1.2.3", "1.2.3")],
        *[('"1"', "1"), ("'true'", "true"), ("!!str 7", "7"), ('"a\\tb"', "a\tb")],
        *[("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63))],
        *[("\u00e9\U0001f600", "\u00e9\U0001f600"), ("a#b", "a#b"), ("C:\\x", "C:\\x")],
    ],
)
def test_scalars_are_those_of_yaml_core_and_leading_zeros_stay(text: str, value: object) -> None:
    found = read(f"a: {text}")["a"]
    assert (type(found), found) == (type(value), value)


def test_keys_are_text_as_written() -> None:
    assert list(read("1: a\n007: b\ntrue: c\nno: d\n1.5: e\n<<: {x: y}")) == [
        *("1", "007", "true", "no", "1.5", "<<")
    ]


def test_a_value_is_repeated_by_alias() -> None:
    assert read("a: &x {k: [1]}\nb: *x\n") == {"a": {"k": [1]}, "b": {"k": [1]}}


BOMB = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 5)}]" for i in range(1, 10)),
    ]
)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1", 'the key "a" is given twice | first in line 1'),
        ("a: {b: 1, 'b': 2}", "1:11", 'the key "b" is given twice'),
        ("1: a\n'1': b", "2:1", 'the key "1" is given twice'),
        ("a:\n\tb: 1\n", "2:1", "a tab in the indentation"),
        ("a:\n  \tb: 1\n", "2:3", "a tab in the indentation"),
        ("a:\t1\n", "1:3", "a tab; use spaces"),
        (BOMB, "1:5", "over 200,000 values"),
        (f"a: &x 1\nb: [{'*x, ' * 51}]", "2:205", "over 50 aliases"),
        ("a: &x [*x]", "1:4", "nested over 20 levels deep"),
        ("a: " + "[" * 500, "1:24", "nested over 20 levels deep"),
        ("a: " + "[" * 20 + "]" * 20, "1:23", "nested over 20 levels deep"),
        ("a: *x", "1:4", "an alias without its anchor; text that begins with * needs quotes"),
        ("a: !!python/object/apply:os.system [ls]", "1:4", "!!python/object/apply:os.system"),
        ("a: !!python/name:os.system x", "1:4", "the tag !!python/name:os.system is refused"),
        ("a: !mine x", "1:4", "the tag !mine is refused"),
        ("!!set {a, b}", "1:1", "the tag !!set is refused"),
        ("a: !!binary aGk=", "1:4", "the tag !!binary is refused"),
        ("a: !!int x", "1:4", "the tag !!int is refused"),
        ("!mine a: 1", "1:1", "the tag !mine is refused"),
        ("a: .nan", "1:4", ".nan is not a finite number"),
        ("a: [1, -.INF]", "1:8", "-.INF is not a finite number"),
        ("a: 1e400", "1:4", "1e400 is not a finite number"),
        ("a: 9223372036854775808", "1:4", "does not fit 64 bits"),
        ("a: " + "9" * 5000, "1:4", "does not fit 64 bits"),
        ("a: 0x" + "f" * 20, "1:4", "does not fit 64 bits"),
        ("- a\n- b\n", "1:1", "the configuration is not a block of"),
        ("text", "1:1", "the configuration is not a block of"),
        ("", "1:1", "the configuration is empty"),
        ("# only a comment\n", "1:1", "the configuration is empty"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document begins"),
        ("a: b: c", "1:5", "lacks quotes"),
        ("a: 1\nb\nc: 2", "3:1", "a key without ':'"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "the indentation does not fit the lines above"),
        ("a: [1,\n", "2:1", "a bracket is not closed"),
        ('a: "x', "1:6", "a quote is not closed"),
        ("a: @x", "1:4", "text that begins with this character needs quotes"),
        ("? [1]\n: 2", "1:3", "a key must be text"),
        ("a: 1\nb: \x1b[2J", "2:4", "a control character"),
        ('a: "\\ud800"', "1:4", "half a surrogate pair"),
        ('a: "\\UFFFFFFFF"', "1:1", "out of range"),
    ],
)
def test_what_is_not_our_yaml_is_refused_where_it_stands(text: str, place: str, words: str) -> None:
    (error,) = told(read, text)
    assert error.startswith(f"{place} E0101 ")
    assert words in error


def test_twenty_levels_and_fifty_aliases_are_still_read() -> None:
    assert read("a: " + "[" * 19 + "]" * 19)["a"]
    assert read(f"a: &x 1\nb: [{'*x, ' * 50}]")["b"] == [1] * 50


def test_a_megabyte_is_read_and_two_are_not(tmp_path: Path) -> None:
    comment = "#" * 999_990
    assert read(f"a: 1\n{comment}") == {"a": 1}
    (error,) = told(read, comment * 2)
    assert error.startswith("1:1 E0100 over 1 MB")
    (tmp_path / "big.yaml").write_text(comment * 2)
    with pytest.raises(UserErrors, match="over 1 MB"):
        read_file(tmp_path / "big.yaml")


def test_no_tag_runs_code(tmp_path: Path) -> None:
    target = tmp_path / "made"
    told(read, f"a: !!python/object/apply:os.mkdir ['{target}']\n")
    assert not target.exists()


def test_faults_that_leave_the_text_readable_are_told_together() -> None:
    errors = told(read, "a: .nan\nb: {c: 1, c: 2}\nd: !x 1\ne: 1e999\n")
    assert [error.split()[0] for error in errors] == ["1:4", "2:11", "3:4", "4:4"]


def test_every_key_and_value_keeps_its_place() -> None:
    document = read_document("a: 1\nb:\n  - c: x\n    d: [7, 8]\n", "conf/x.yaml")
    value, key = document.place(("b", 0, "d", 1)), document.place(("b", 0, "d"), of_key=True)
    assert (value.file, value.line, value.column) == ("conf/x.yaml", 4, 12)
    assert (key.line, key.column, key.text) == (4, 5, "    d: [7, 8]")
    around = document.place(("b", 0, "missing"))
    assert (around.line, around.column) == (3, 5)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_as_yaml_counts_them(line_break: str) -> None:
    document = read_document(line_break.join(["a: 1", "# x", "b: 2"]), "a.yaml")
    place = document.place(("b",), of_key=True)
    assert (place.line, place.column, place.text) == (3, 1, "b: 2")


def test_files_may_begin_with_a_byte_order_mark_but_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(path).data == {"a": 1}
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(UserErrors, match="not UTF-8 at byte 3"):
        read_file(path)
    with pytest.raises(UserErrors, match=r"cannot open .*: No such file"):
        read_file(tmp_path / "b.yaml")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_json_is_read_as_json(data: dict) -> None:
    assert read(json.dumps(data)) == data


@given(st.text(alphabet="ab01:-?[]{},&*!|>'\"%@`#\\ \n\t.~e+_<=", max_size=40))
def test_any_text_is_either_read_or_refused_with_a_place(text: str) -> None:
    data, faults = outcome(read, text)
    assert all(fault.place and fault.place.line >= 1 for fault in faults)
    assert faults or json.loads(json.dumps(data)) == data


@given(st.text(max_size=30))
def test_a_value_quoted_by_pyyaml_comes_back(text: str) -> None:
    assert read(yaml.safe_dump({"a": text}, default_style='"', width=1000)) == {"a": text}
