"""Laws over generated cases as fault tests: every trial explores its own cases, all are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fault_table import Told


def explored(*strategies: Any, examples: int = 100) -> Callable[[Callable], Callable]:
    """In place of `given`: a test of `trial`, which seeds what is drawn, and `told`."""

    def decorate(law: Callable[..., None]) -> Callable[[int, Told], None]:
        def test(trial: int, told: Told) -> None:
            explore(law, trial, told, *strategies, examples=examples)

        test.__name__, test.__module__, test.__doc__ = law.__name__, law.__module__, law.__doc__
        return test

    return decorate


def explore(
    law: Callable[..., None],
    trial: int,
    told: Told,
    *strategies: Any,
    examples: int = 100,
    shrink: bool = True,
) -> None:
    """shrink: look for the smallest case that fails; not for what is slow, like a build."""
    told.cases = 0
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    @seed(trial)
    @settings(max_examples=examples, phases=phases)
    @given(st.tuples(*strategies))
    def counted(drawn: tuple) -> None:
        law(*drawn)
        told.cases += 1  # not where the law has found the case of no use

    counted()
    assert told.cases
