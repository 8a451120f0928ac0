"""Says loudly which libraries were missing, so that a green run is not taken for more."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    missing = [text for text in skipped if "tests/export" in text and "not installed" in text]
    if missing:
        line = f"{len(missing)} EXPORTS WERE NOT READ BACK BY THEIR OWN LIBRARY: "
        line += ", ".join(sorted({text.split("Skipped: ")[-1].strip("')\"") for text in missing}))
        terminalreporter.write_line(line, red=True, bold=True)
