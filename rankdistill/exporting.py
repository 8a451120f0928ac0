"""The verb `export`: from a finished run to what a server takes, and what the terminal shows.

Between the command line and the room `student`, imported here alone, for torch may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankdistill.quality.text_table import text_table
from rankdistill.student.serving.options import read_export_options
from rankdistill.training import need_torch
from rankdistill.verbs import Run


def export(run: Run, of: str, out: str, config: str | None, overrides: list[str]) -> None:
    """overrides: `a.b=value` each, over the options of the file `config`, or of nothing."""
    options = read_export_options(config, overrides)
    need_torch()
    from rankdistill.student.serving import export as exports

    manifest = exports.export(options, Path(of), out, notify=run.notify)
    run.facts["export"] = manifest
    run.show(export_report(manifest, out), manifest)


def export_report(manifest: Mapping[str, Any], out: str) -> str:
    """The export as the terminal shows it."""
    head = (
        f"student of build {manifest['build']} in {out}: {manifest['items']:,} items, "
        f"{manifest['dim']} numbers a vector, met by inner product"
    )
    files = [
        {"file": each["name"], "rows": f"{each['rows']:,}", "bytes": f"{each['bytes']:,}"}
        for each in manifest["files"]
    ]
    return "\n".join([head, "", text_table(files), "", *_parity(manifest)])


def _parity(manifest: Mapping[str, Any]) -> list[str]:
    found = manifest["parity"]
    lines = [
        f"{name:<9} differs from the run by {found[name]['max_abs_diff']:.2g} at most, over "
        f"{found[name]['rows']:,} users"
        for name in ("program", "onnx", "scores")
        if name in found
    ]
    if "index" in found:
        own = found["index"]
        recall = ", ".join(f"{share:.2%} @{k}" for k, share in own["recall"].items())
        kind = own["settings"]["kind"]
        lines.append(f"index     {kind}, recall {recall}, over {own['users']:,} users")
    return lines
