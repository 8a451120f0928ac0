"""The table of `make fault-test` counts what was tried, whatever came of it."""

import pytest

from tests.fault_table import Told, table

TRIAL = """
    import pytest

    @pytest.fixture
    def place(trial):
        if trial == 0:
            pytest.skip("not here")
        assert trial != 1
        yield
        assert trial != 2

    @pytest.mark.fault("5", "needs a place", times=4, quick=0)
    def test_of_a_place(place):
        pass

    @pytest.mark.fault("23", "killed", times=4)
    def test_killed(trial, told):
        told.cases = 2
        told.compare([1, 2, 2], [2, 2, 1] if trial != 3 else [2, 2, 2])

    @pytest.mark.fault("4", "counts nothing", times=2)
    def test_of_one_case(trial):
        pass

    def test_other():
        raise AssertionError("not a fault")
"""


PLUGIN = ("-p", "tests.fault_table", "-p", "no:cacheprovider")


def test_the_table_counts_survivors_and_rows(pytester):
    pytester.makepyfile(TRIAL)
    done = pytester.runpytest("--faults", *PLUGIN)
    assert done.parseoutcomes() == {
        "passed": 7,
        "failed": 1,
        "errors": 2,
        "skipped": 1,
        "deselected": 1,
    }
    done.stdout.fnmatch_lines(["| 4 | counts nothing | 2 | 2 | 0 | 0 | 0 | 0 | 0 |"])
    done.stdout.fnmatch_lines(["| 5 | needs a place | 3 | 1 | 1 | 0 | 0 | 0 | 0 |"])
    done.stdout.fnmatch_lines(["| 23 | killed | 8 | 6 | 0 | 1 | 1 | 0 | 0 |"])


def test_a_usual_run_tries_each_once_and_prints_no_table(pytester):
    pytester.makepyfile(TRIAL)
    done = pytester.runpytest(*PLUGIN)
    assert done.parseoutcomes() == {"passed": 2, "failed": 1, "deselected": 1}
    done.stdout.no_fnmatch_line("| 23*")


def test_a_fault_that_takes_long_is_left_out_of_a_usual_run(pytester):
    mark = '@pytest.mark.fault("7", "slow", times=2, quick=0)'
    pytester.makepyfile(f"import pytest\n{mark}\ndef test_slow(trial): pass")
    assert pytester.runpytest(*PLUGIN).parseoutcomes() == {"deselected": 1}
    assert pytester.runpytest("--faults", *PLUGIN).parseoutcomes() == {"passed": 2}


def test_rows_are_in_order_and_reads_are_added_up():
    told = [Told(row, "read", reads=2, torn=1) for row in ("32", "4", "32")]
    seen = [(vars(each), "passed") for each in told]
    header, rule, *lines = table(seen)
    assert lines == [
        "| 4 | read | 1 | 1 | 0 | 0 | 0 | 2 | 1 |",
        "| 32 | read | 2 | 2 | 0 | 0 | 0 | 4 | 2 |",
    ]
    assert header.count("|") == rule.count("|") == lines[0].count("|")


def test_lost_and_duplicated_rows_are_counted_before_they_fail():
    seen = Told("1", "any")
    with pytest.raises(AssertionError):
        seen.compare(["a", "b"], ["b", "b", "c"])
    assert (seen.lost, seen.duplicated) == (1, 2)
