import pytest
from store_kit import Small


@pytest.fixture
def small(tmp_path):
    return Small(tmp_path / "data")
