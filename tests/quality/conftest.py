"""The builds of real logs, each made once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.quality.real_kit import BUILDS, Real


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Real]:
    """The build of a name (see `real_kit.BUILDS`)."""
    return cache(lambda name: BUILDS[name](tmp_path_factory.mktemp(name)))
