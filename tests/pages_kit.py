"""The blocks of code of README.md and docs/: which are run, by whom, and why some are not.

Above each block of sh or Python stands one of
`<!-- run -->`, or `<!-- run: torch faiss -->` where these packages are: by tests/cli/test_pages.py;
`<!-- test: NAME -->`: a test asks for it by `named(PAGE, NAME)`;
`<!-- not run: WHY -->`.
`<!-- given ... -->`, commands that no reader sees, makes what the page takes for granted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = ("sh", "python")
MARK = re.compile(r"<!-- (run|test|not run)(?:: (.+))? -->")
BLOCK = re.compile(
    r"^(?P<given><!-- given\n)(?P<setting>.*?)^-->$"
    r"|(?:^(?P<mark><!-- [^\n]+ -->)\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$"
    r"(?:\n```text\n(?P<shown>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """mark: run, test, not run, given, or nothing; told: what the mark says; shown: the output."""

    where: str
    language: str
    code: str
    mark: str
    told: str
    shown: str


def blocks(page: Path) -> list[Block]:
    """All of a page that has something to run, in its order."""
    return [block for block in fences(page) if block.language in LANGUAGES]


def fences(page: Path) -> list[Block]:
    """Every fenced block, and what is given, in the page's order."""
    text, found = page.read_text(), []
    for match in BLOCK.finditer(text):
        where = f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}"
        if match["given"]:
            found.append(Block(where, "sh", match["setting"], "given", "", ""))
            continue
        mark = MARK.fullmatch(match["mark"] or "")
        kind, told = (mark[1], mark[2] or "") if mark else ("", "")
        found.append(
            Block(where, match["language"], match["code"], kind, told, match["shown"] or "")
        )
    return found


def named(page: str, name: str) -> str:
    """The code of the block of `page` that is marked `<!-- test: name -->`."""
    (path,) = (path for path in PAGES if path.name == page)
    (found,) = (b for b in blocks(path) if (b.mark, b.told) == ("test", name))
    return found.code
