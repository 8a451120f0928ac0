"""`where`: every operator on every type, and what cannot be compared."""

import datetime

import pytest

from tests.log.door_kit import KEYS, ROW, faults, read, read_log, refused

CONDITIONS = [
    ("n", "=", 2, {"b"}),
    ("n", "!=", 2, {"a", "c"}),
    ("n", "<", 2.5, {"a", "b"}),
    ("n", "<=", 2, {"a", "b"}),
    ("n", ">", 1, {"b", "c"}),
    ("n", ">=", 2, {"b", "c"}),
    ("n", "in", [1, 3], {"a", "c"}),
    ("n", "is_null", None, {"d"}),
    ("n", "not_null", None, {"a", "b", "c"}),
    ("t", "=", "2", {"b"}),
    ("t", ">=", "10", {"a", "b", "c", "d"}),  # as text
    ("t", "in", ["9", "2"], {"a", "b"}),
    ("on", "=", True, {"a", "c"}),
    ("s.x", "=", "q", {"a"}),
    ("at", ">", "2026-01-02", {"c"}),
]


@pytest.mark.parametrize(("column", "op", "value", "expected"), CONDITIONS)
def test_rows_that_meet_every_condition_are_read(tmp_path, column, op, value, expected):
    values = zip(
        "abcd", [1, 2, 3, None], ["9", "2", "10", "x"], [True, False, True, None], strict=True
    )
    rows = [
        {
            **ROW,
            "r": r,
            "n": n,
            "t": t,
            "on": on,
            "s": {"x": "q" if r == "a" else "p"},
            "at": None if n is None else datetime.datetime(2026, 1, n),
        }
        for r, n, t, on in values
    ]
    key = "values" if op == "in" else "value"
    where = [{"column": column, "op": op, **({} if value is None else {key: value})}]
    _, requests, counts = read(tmp_path, rows, where=where)
    assert set(requests) == expected and counts["rows_in"] == len(expected)


@pytest.mark.parametrize(
    ("column", "value", "code", "said"),
    [
        ("kk", 1, "E0102", '"k"'),
        ("k", "one", "E0104", "numbers"),
        ("k", "7", "E0104", "write value: 7"),
        ("k", True, "E0104", "numbers"),
        ("r", True, "E0104", 'write value: "true"'),
        ("r", 3, "E0104", 'holds string: it is compared with text write value: "3"'),
        ("on", 1, "E0104", "write value: true"),
        ("at", 5, "E0104", "ISO 8601"),
    ],
)
def test_conditions_that_cannot_be_evaluated_are_refused(tmp_path, column, value, code, said):
    rows = [{**ROW, "on": True, "at": datetime.datetime(2026, 1, 1)}]
    (error,) = faults(tmp_path, rows, where=[{"column": column, "op": "=", "value": value}])
    assert error.code == code and said in f"{error.message} {error.help}"
    assert error.place.file == "test.yaml" and error.place.line == 1


def test_each_of_several_values_must_fit(tmp_path):
    where = [{"column": "k", "op": "in", "values": [1, "2"]}]
    (error,) = faults(tmp_path, [ROW], where=where)
    assert error.help == "write values: [1, 2]"


def test_text_files_hold_numbers_as_text(tmp_path):
    (tmp_path / "log.csv").write_text("r,i,k\na,1,9\nb,1,10\nc,1,x\n")
    log = {"path": str(tmp_path / "log.csv"), "format": "csv", "columns": KEYS}
    requests, counts = read_log({**log, "where": [{"column": "k", "op": ">=", "value": 10}]})
    assert set(requests) == {"b"} and counts["rows_in"] == 1
    (error,) = refused({**log, "where": [{"column": "k", "op": "in", "values": [1, "x"]}]})
    assert "numbers alone" in error.message
