"""README.md: a data set card as Hugging Face reads it, from the figures of metrics.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from rankdistill.contract import SAMPLE_TABLES
from rankdistill.quality import words
from rankdistill.quality.card.contents import Contents, Table
from rankdistill.quality.report.markdown import escaped, funnel_table, measures_table, table

MARK = "generated_by: rankdistill"
OURS = f"---\n{MARK}\n"  # a README.md that begins otherwise is somebody's own
TAGS = ("rankdistill", "ranking", "recommender-systems", "knowledge-distillation")
MAX_COLUMNS = 300
SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
NAMES = {"string": "string", "float": "float32", "double": "float64", "bool": "bool"}


def readme(contents: Contents) -> str:
    """The card. All that came from the log or the config is escaped."""
    name = escaped(contents.name)
    lines = [f"# {name}", "", *_verdict(contents), "", *_tables(contents), "", *_made(contents)]
    if contents.document is not None:
        lines += ["", "## From log to samples", "", *funnel_table(contents.document)]
        lines += ["", "## Measures", "", *measures_table(contents.document)]
    lines += ["", *_reading(contents), "", *_columns(contents)]
    return f"{OURS}{_front(contents)}---\n\n" + "\n".join(lines) + "\n"


def _front(contents: Contents) -> str:
    tables = contents.held
    first = next(
        (t.name for t in tables if t.name in SAMPLE_TABLES), tables[0].name if tables else ""
    )
    front: dict[str, Any] = {
        "pretty_name": words.plain(contents.name),
        "license": "unknown",
        "tags": list(TAGS),
        "size_categories": [size_category(sum(t.num_rows for t in tables))],
        "configs": [
            {
                "config_name": t.name,
                **({"default": True} if t.name == first else {}),
                "data_files": [{"split": "train", "path": [file.path for file in t.files]}],
            }
            for t in tables
        ],
        "dataset_info": [
            {"config_name": t.name, "features": [_feature(f) for f in t.schema if f.name != "dt"]}
            for t in tables
        ],
    }
    return yaml.safe_dump(front, sort_keys=False, width=1_000_000)


def size_category(num_rows: int) -> str:
    """Hugging Face's name of a size: "10K<n<100K"."""
    for place, size in enumerate(SIZES):
        if num_rows < 1_000 * 10**place:
            return f"{SIZES[place - 1]}<n<{size}" if place else f"n<{size}"
    return f"n>{SIZES[-1]}"


def _feature(field: pa.Field) -> dict[str, Any]:
    if pa.types.is_list(field.type):
        return {"name": field.name, "list": _type(field.type.value_type)}
    return {"name": field.name, "dtype": _type(field.type)}


def _type(kind: pa.DataType) -> str:
    return NAMES.get(str(kind), str(kind))


def _verdict(contents: Contents) -> Iterator[str]:
    if contents.document is None:
        yield "Nothing of this build was measured (`quality.measure`), so nothing is judged."
        return
    yield f"**{escaped(words.sentence(contents.document), 1000)}**"
    for measure in words.bad(contents.document):
        told = "; ".join(words.reasons(measure))
        yield from ("", f"- {escaped(words.heading(measure))}: {escaped(told, 400)}")
    missing = sorted(set(contents.days) - set(contents.document["days"]))
    if missing:
        yield from ("", f"{len(missing)} of its {len(contents.days)} days are not measured.")


def _tables(contents: Contents) -> Iterator[str]:
    yield from ("## Tables", "")
    rows = [
        (f"`{t.name}`", escaped(t.title), words.number(t.num_rows), words.number(len(t.files)))
        for t in contents.held
    ]
    yield from table(("table", "holds", "rows", "files"), rows)
    yield ""
    days = escaped(words.span(sorted(contents.days))) if contents.days else "none"
    yield f"Days: {days}. The columns of each table stand at the end."


def _made(contents: Contents) -> Iterator[str]:
    yield from ("## How it was made", "")
    facts = contents.document["facts"] if contents.document else {}
    mix = facts.get("kinds", {}).get("negatives", {}).get("mix")
    rows = {
        "made by": f"rankdistill {contents.code_version}, build {contents.number}",
        "student": facts.get("student"),
        "teacher's order": facts.get("teacher_order"),
        "samples": ", ".join(facts.get("kinds", {})) or None,
        "mix of negatives": _pairs(mix),
        "feedback": ", ".join(facts.get("feedback", ())) or None,
        "seed": contents.seed,
        "config hash": contents.config_hash,
    }
    told = [(name, escaped(value)) for name, value in rows.items() if value is not None]
    yield from table(("", ""), told)
    if contents.document is not None and contents.document["configs"] > 1:
        yield from ("", f"Its days were built in {contents.document['configs']} ways.")


def _pairs(mix: Any) -> str | None:
    """ "tail 0.5, popular 0.5" of a mapping or of rows that have a source and a share."""
    if isinstance(mix, Mapping):
        return ", ".join(f"{name} {share}" for name, share in mix.items()) or None
    return None if not mix else str(mix)


def _reading(contents: Contents) -> Iterator[str]:
    example = next((t.name for t in contents.held), "pointwise")
    yield from ("## How to read it", "", "```python", "import datasets", "")
    yield f'rows = datasets.load_dataset("path/to/this/folder", "{example}", split="train")'
    yield from ("```", "")
    yield (
        "Each table is a config that names its files one by one. A bare glob is wrong: it would "
        "find files that a later build replaced. `rankdistill files` lists the same files, and "
        "Delta readers read each table's folder. All files stand under the split that readers "
        "call `train`; the column `split` says which rows are train, valid or test. The day, "
        "`dt`, is in no file but in the name of its folder."
    )


def _columns(contents: Contents) -> Iterator[str]:
    yield from ("## Columns",)
    for found in contents.held:
        yield from ("", f"### {found.name}", "", *_columns_of(found))


def _columns_of(found: Table) -> Sequence[str]:
    rows = [
        (escaped(f.name), escaped(_shown(f.type)), escaped(found.meaning(f.name), 300))
        for f in list(found.schema)[:MAX_COLUMNS]
    ]
    lines = list(table(("column", "type", "holds"), rows))
    more = len(found.schema) - len(rows)
    return [*lines, "", f"{more} more columns are in the files."] if more else lines


def _shown(kind: pa.DataType) -> str:
    return f"list of {_type(kind.value_type)}" if pa.types.is_list(kind) else _type(kind)
