"""Gates that cannot be meant are refused, with what they would do."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError
from report_kit import document, measure

from rankdistill.errors import PlaceError
from rankdistill.quality import words
from rankdistill.quality.options import QualityOptions
from rankdistill.store.outputs import write


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        ({"Q06": {"warn": 0.9, "fail": 0.1}}, "has to lie above warn"),
        ({"Q10": {"warn": 0.5, "fail": 0.6}}, "has to lie below warn"),
        ({"Q02": {"warn": 50}}, "is a share from 0 to 1, found 50"),
        ({"Q06": {"fail": -3}}, "is a share from 0 to 1, found -3"),
        ({"Q14": {"warn": 1.5}}, "is a share from 0 to 1, found 1.5: 0.05 is 5%"),
        ({"Q18.least_fill": {"warn": -0.1}}, "is a share from 0 to 1, found -0.1"),
        ({"Q31": {"warn": -1}}, "is a count, never below 0"),
        ({"Q06": {}}, "neither warn nor fail"),
        ({"Q99": {"warn": 0.1}}, 'no gate is called "Q99"'),
    ],
)
def test_gates_that_cannot_be_meant_are_refused(gates, told):
    with pytest.raises(ValidationError, match=told):
        QualityOptions(gates=gates)


def test_what_stops_a_build_is_told_with_units_and_thresholds_and_the_rest_is_counted():
    found = document([measure("Q06", "warn"), measure("Q07", "fail"), measure("Q08")])
    (fails, rest), (first, second) = (words.stopped(found, f).split("\n") for f in ("fail", "warn"))
    assert rest == "besides, 1 measure warns (Q06 Request length)"
    assert fails == first and second.startswith("Q06 Request length warns: ")
    assert "what they should be: 41.2% (warns above 5%, fails above 30%)" in fails


def test_a_value_that_few_rows_excuse_says_so_beside_its_gate():
    found = measure("Q06", value=0.4, n=100, chance={"": 0.36})
    told = "warns above 5%, fails above 30%; within what n = 100 may do by chance: +-36%"
    assert words.gate_text(found, "") == told
    (row,) = words.lines(document([found]))
    assert row["why"] == told
    assert "chance" not in words.gate_text(found | {"value": 0.04}, "")


def test_a_gate_of_one_bound_and_none_at_all_are_meant():
    options = QualityOptions(gates={"Q06": {"fail": 0.2}, "Q07": None})
    gates = options.chosen_gates()
    assert gates["Q06"].fail == 0.2 and gates["Q06"].warn is None and gates["Q07"] is None


def test_a_pipe_is_written_into_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        (link := tmp_path / "link").symlink_to(pipe)
        for place in (pipe, link):
            write(place, "text")
            assert os.read(end, 9) == b"text"
        assert pipe.is_fifo() and link.is_symlink()
    finally:
        os.close(end)


def test_a_link_to_a_file_a_link_to_nothing_and_a_folder_are_not_written_over(tmp_path):
    (file := tmp_path / "file").write_text("precious")
    (folder := tmp_path / "folder").mkdir()
    (link := tmp_path / "link").symlink_to(file)
    (loose := tmp_path / "loose").symlink_to(tmp_path / "none")
    for place in (link, loose, folder):
        with pytest.raises(PlaceError):
            write(place, "text")
    assert link.is_symlink() and loose.is_symlink() and file.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == [file, folder, link, loose]
