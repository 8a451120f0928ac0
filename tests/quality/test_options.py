"""Gates that cannot be meant are refused, with what they would do."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError
from report_kit import document, measure

from rankdistill.quality import words
from rankdistill.quality.options import QualityOptions
from rankdistill.reporting import write


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        ({"Q06": {"warn": 0.9, "fail": 0.1}}, "has to lie above warn"),
        ({"Q10": {"warn": 0.5, "fail": 0.6}}, "has to lie below warn"),
        ({"Q02": {"warn": 50}}, "is a share from 0 to 1, found 50"),
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
    assert "what they should be: 3.12% (warns above 5%, fails above 30%)" in fails


def test_a_gate_of_one_bound_and_none_at_all_are_meant():
    options = QualityOptions(gates={"Q06": {"fail": 0.2}, "Q07": None})
    gates = options.chosen_gates()
    assert gates["Q06"].fail == 0.2 and gates["Q06"].warn is None and gates["Q07"] is None


def test_a_pipe_is_written_into_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        write(pipe, "text")
        assert os.read(end, 9) == b"text"
        assert pipe.is_fifo()
    finally:
        os.close(end)
