"""One cluster for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster_kit import Cluster, standalone


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with standalone(tmp_path_factory.mktemp("cluster") / "spark") as made:
        yield made
