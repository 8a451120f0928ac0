"""`python -m rankdistill.schema_pages`: the pages made from code, written into a checkout.

schemas/config.schema.json, for editors, from the options; docs/schemas.md from schemas/*.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankdistill.config import json_schema
from rankdistill.contract import TABLES, table_contract
from rankdistill.settings import Settings

MINED = "mined"  # beside a data set, not in it
COLUMN = {"$ref": "#/$defs/Column"}


def pages() -> dict[str, str]:
    """{path in the checkout: text}."""
    return {"schemas/config.schema.json": config_schema(), "docs/schemas.md": tables_page()}


def config_schema() -> str:
    """The JSON Schema of a configuration file."""
    schema = with_short_columns(json_schema(Settings))
    return json.dumps(schema, indent=1) + "\n"


def with_short_columns(node: Any) -> Any:
    """The schema with the short forms of a column: its name, and a list of names for several.

    pydantic does not see what a validator in front of a model takes.
    """
    if isinstance(node, list):
        return [with_short_columns(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    if node == COLUMN:
        return {"anyOf": [{"type": "string"}, COLUMN]}
    found = {key: with_short_columns(inner) for key, inner in node.items()}
    if node.get("additionalProperties") == COLUMN:
        kept = {k: found.pop(k) for k in ("type", "additionalProperties")}
        return found | {"anyOf": [kept, {"type": "array", "items": {"type": "string"}}]}
    return found


def tables_page() -> str:
    """Every table's columns, as Markdown."""
    intro = (
        "# The tables\n\n"
        "Made from `schemas/*.json` by `make schemas`; do not edit. An `id` is int64 where every "
        "value of the log fits, else string.\n"
    )
    return "\n".join([intro, *(_table(table_contract(name)) for name in (*TABLES, MINED))])


def _table(contract: dict[str, Any]) -> str:
    lines = [
        f"## {contract['table']}",
        "",
        f"{contract['title'][0].upper()}{contract['title'][1:]}.",
        f"Key: {', '.join(f'`{name}`' for name in contract['key'])}. "
        f"{_partitions(contract['partition_by'])}.",
        "",
        "| column | type | null | unit | meaning |",
        "|---|---|---|---|---|",
    ]
    for column in contract["columns"]:
        null, unit = "yes" if column["nullable"] else "", column["unit"] or ""
        cells = (f"`{column['name']}`", f"`{column['type']}`", null, unit, column["meaning"])
        lines.append(f"| {' | '.join(cells)} |")
    for group in contract.get("open", ()):
        kind = "a list" if group["list"] else "one value"
        lines.append(
            f"| *{group['group']} columns* | {kind} of its source's type | yes | | "
            f"{group['meaning']} |"
        )
    return "\n".join([*lines, ""])


def _partitions(names: list[str]) -> str:
    return f"Partitioned by {', '.join(f'`{name}`' for name in names)}" if names else "One folder"


def main(root: Path = Path()) -> None:
    for path, text in pages().items():
        (root / path).write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
