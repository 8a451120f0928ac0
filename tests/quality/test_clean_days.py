"""On clean days no gate fires: worlds of several seeds, sizes and students, built and judged.

Days of one world stand in one data set, so that Q25, Q26, Q30 and Q31 have a past, and eight
of them a week apart, so that Q32 has; `python -m bench clean_days` does it for 100 days.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from bench.clean_days import documents, fired, worlds

DAYS = {0: 2, 1: 9, 2: 2, 7: 2, 6: 2}  # world -> so many of its days


@pytest.mark.parametrize("number", DAYS)
def test_no_gate_fires_on_a_clean_day(tmp_path, number):
    world = next(islice(worlds(), number, None))
    size = {**world.size, "num_requests": min(world.size["num_requests"], 300)}
    found = documents(replace(world, size=size, days=DAYS[number]), tmp_path)
    assert fired(found) == {}
    assert found["verdict"] == "ok" and len(found["days"]) == DAYS[number]


def test_what_looks_at_the_past_has_one(tmp_path):
    world = next(islice(worlds(), 1, None))
    assert world.apart == 7
    size = {**world.size, "num_requests": 40}
    found = documents(replace(world, size=size, days=9), tmp_path)
    held = {m["id"]: m for m in found["measures"]}
    last = max(found["days"])
    for name in ("Q30", "Q32"):
        assert held[name]["days"][last]["n"] > 0, name
    assert held["Q31"]["threshold"].keys() >= {"volume", "lost_hours"}
    assert held["Q32"]["days"][last]["n"] > 10
