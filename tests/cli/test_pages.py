"""What README.md and docs/ show is run as it stands, or says why not."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages_kit import PAGES, ROOT, Block, blocks, fences, named

README, *OTHERS = PAGES
RUN = [page for page in OTHERS if any(block.mark == "run" for block in blocks(page))]
TESTS = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")))
LIMIT = 300  # seconds for a block; each takes a few


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_code_is_run_or_says_why_not(page):
    assert {block.language for block in fences(page)} <= {
        "",
        "sh",
        "python",
        "text",
        "yaml",
        "json",
    }
    for block in blocks(page):
        assert block.mark, f"{block.where}: nothing says who runs it (tests/pages_kit.py)"
        if block.mark == "not run":
            assert len(block.told.split()) > 2, f"{block.where}: why is it not run?"
        if block.mark == "test":
            asked = f'named("{page.name}", "{block.told}")'
            assert asked in TESTS, f"{block.where}: no test has {asked}"


def programs(folder: Path) -> str:
    """A PATH on which `rankdistill` and `python` are ours, as after an installation."""
    folder.mkdir()
    for name, command in (("rankdistill", "-m rankdistill"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def run(block: Block, here: Path, path: str) -> str:
    """Its stdout; AssertionError with the place in the page where it fails."""
    shell = ["sh", "-e", "-c"] if block.language == "sh" else [sys.executable, "-c"]
    own = {"COLUMNS": "200", "HF_HOME": str(here / ".cache"), "HF_HUB_OFFLINE": "1"}
    packages = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own |= {
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(packages),
        "GITHUB_STEP_SUMMARY": "summary.md",
    }
    done = subprocess.run(
        [*shell, block.code],
        cwd=here,
        env=os.environ | own | {"DOCS": str(ROOT / "docs")},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{block.where}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout


def lacking(block: Block) -> list[str]:
    """The packages that it needs and that are not here."""
    return [name for name in block.told.split() if importlib.util.find_spec(name) is None]


def told(text: str, in_words: bool) -> str:
    """As it is, or without its numbers: a student's differ a little from machine to machine."""
    return re.sub(r"[\s\d.,*+-]+", " ", text) if in_words else text


def follow(page: Path, here: Path, path: str) -> None:
    """Every block of the page that is to be run, one after the other, held to what it shows."""
    for block in blocks(page):
        if block.mark == "given" or (block.mark == "run" and not lacking(block)):
            printed, in_words = run(block, here, path), "torch" in block.told
            if block.shown:
                assert told(printed, in_words) == told(block.shown, in_words), block.where


def test_what_readme_and_pages_show_runs_as_it_stands(tmp_path):
    """Each page begins where the README's example ends: same folder, same files."""
    here, kept = tmp_path / "here", tmp_path / "kept"
    path = programs(tmp_path / "bin")
    here.mkdir()
    follow(README, here, path)
    here.rename(kept)
    wrong = []
    for page in RUN:
        shutil.copytree(kept, here)
        try:
            follow(page, here, path)
        except AssertionError as fault:
            wrong.append(str(fault))
        shutil.rmtree(here)
    assert not wrong, "\n".join(wrong)


def test_every_target_of_make_that_is_named_is_there():
    blocks = named("README.md", "make"), named("cluster.md", "travels")
    texts = [page.read_text() for page in PAGES]
    found = [*re.findall(r"^make ([a-z-]+)", "".join(blocks), re.MULTILINE)]
    found += [name for text in texts for name in re.findall(r"`make ([a-z-]+)", text)]
    targets = set(found)
    assert {"demo", "test", "dist", "help"} <= targets
    for target in sorted(targets):
        command = ["make", "-n", target]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
