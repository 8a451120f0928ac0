from pathlib import Path

import pytest
from cli_kit import CONFIG, run, simulate


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a log and a config in it."""
    monkeypatch.chdir(tmp_path)
    simulate()
    Path("feed.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def built(place: Path) -> Path:
    run("build", "--config", "feed.yaml")
    return place
