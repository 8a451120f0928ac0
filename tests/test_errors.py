"""Errors as the user sees them."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rankdistill
from rankdistill.codes import CODES
from rankdistill.errors import (
    EXIT_CODES,
    ConfigError,
    InputError,
    Place,
    ResourceError,
    UserErrors,
    closest,
    printable,
    render,
    unknown,
)

PACKAGE = Path(rankdistill.__file__).parent
UNKNOWN_COLUMN = ConfigError(
    "E0102",
    'column "impr_pos" (log.columns.position) is not in the input log',
    place=Place(file="conf/feed.yaml", line=14, column=13, text="    position: impr_pos"),
    found="request_id, user_id, item_id, imp_pos   (logs/dt=2026-11-01, 12 files)",
    help='did you mean "imp_pos"?   rankdistill build --set log.columns.position=imp_pos',
)


@pytest.mark.parametrize(("name", "help"), [("sparq", "--engine spark"), ("x", "--engine duckdb")])
def test_an_unknown_name_is_told_the_known_ones_and_one_to_give(name: str, help: str) -> None:
    error = unknown("E0107", "engine", name, ["duckdb", "spark"], "--engine ")
    assert str(error) == f'error[E0107]: engine "{name}" is unknown'
    assert error.found == "known are duckdb, spark" and str(error.help).endswith(help)


def test_an_error_has_its_five_parts() -> None:
    assert render(UNKNOWN_COLUMN).split("\n") == [
        'error[E0102]: column "impr_pos" (log.columns.position) is not in the input log',
        "  --> conf/feed.yaml:14:13    position: impr_pos",
        "  found   : request_id, user_id, item_id, imp_pos   (logs/dt=2026-11-01, 12 files)",
        '  help    : did you mean "imp_pos"?   rankdistill build --set '
        "log.columns.position=imp_pos",
    ]


def test_parts_that_are_not_given_leave_no_line() -> None:
    assert render(ResourceError("E0402", "the disk is full")) == "error[E0402]: the disk is full"
    bare = ConfigError("E0101", "a tab", place=Place(file="a.yaml", line=1, column=2))
    assert render(bare) == "error[E0101]: a tab\n  --> a.yaml:1:2"


@pytest.mark.parametrize(
    "attack",
    ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\x08", "\x00", "\u202e", "\u200b", "\u2028"],
)
def test_terminal_escapes_are_shown_and_not_obeyed(attack: str) -> None:
    place = Place(file="a.yaml", line=1, column=1, text=f"x{attack}")
    error = InputError("E0301", f"a{attack}b", place=place, found=attack, help=attack)
    text = render(error)
    assert attack not in text
    assert f"\\x{ord(attack[0]):02x}" in text


@given(st.text())
def test_whatever_is_printed_is_printable(text: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in printable(text))


def test_long_text_is_cut() -> None:
    assert printable("a" * 3000) == "a" * 2000 + "..."


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("E0101", 2), ("E0201", 4), ("E0301", 3), ("E0402", 4), ("E0501", 6), ("E0601", 3)],
)
def test_the_exit_code_follows_from_the_family(code: str, exit_code: int) -> None:
    error = ConfigError(code, "x")
    assert error.exit_code == UserErrors([error]).exit_code == exit_code


def test_an_error_survives_the_way_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(UNKNOWN_COLUMN))
    assert type(copy) is ConfigError
    assert render(copy) == render(UNKNOWN_COLUMN)


def test_the_nearest_known_name_is_found_whatever_its_case() -> None:
    assert closest("impr_pos", ["item_id", "imp_pos", "click"]) == "imp_pos"
    assert closest("item_id", ["click", "Item_ID"]) == "Item_ID"
    assert closest("zzz", ["item_id"]) is None
    assert closest("a", []) is None
    assert closest("Q7", ["Q17", "Q07", "Q70"]) == "Q07"
    assert closest("q10", ["Q01", "Q10"]) == "Q10"


def test_every_code_that_is_raised_is_explained() -> None:
    raised = {
        node.value: path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and re.fullmatch(r"E\d{4}", str(node.value))
    }
    assert {code: name for code, name in raised.items() if code not in CODES} == {}


def test_every_explained_code_belongs_to_a_family_and_ends_its_sentence() -> None:
    for code, text in CODES.items():
        assert re.fullmatch(r"E\d{4}", code)
        assert code[1:3] in EXIT_CODES
        assert text.endswith(".")
