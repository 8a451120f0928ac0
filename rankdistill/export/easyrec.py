"""The graph tables of EasyRec's and TorchEasyRec's negative samplers (GraphLearn text).

Tab-separated, a header of name:type. user.tsv, item.tsv, hard_neg_edge.tsv and pos_edge.tsv are
user_input_path, item_input_path, hard_neg_edge_input_path and pos_edge_input_path of
hard_negative_sampler and hard_negative_sampler_v2.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.engines.spill import Scratch, spill
from rankdistill.errors import InputError
from rankdistill.export.asked import Asked
from rankdistill.export.folder import Folder
from rankdistill.export.pairs import EASY, read_pairs
from rankdistill.export.source import Source

MARKED = ["request_id", "anchor", "positive", "negative", "held_out", "easy"]
HELD_OUT = ("valid", "test")
# Readers split lines at tabs, attributes at colons, and strip what stands around a line.
UNFIT = r"^$|[\p{Cc}:]|^[\s\p{Z}]|[\s\p{Z}]$"

DRAWN = """
CREATE TABLE drawn AS
SELECT DISTINCT request_id, anchor, positive, negative, held_out, easy FROM rows
"""
CATALOGUE = "CREATE TABLE catalogue AS SELECT DISTINCT item_id FROM known"
USERS = "SELECT DISTINCT anchor AS id, 1::DOUBLE AS weight FROM drawn ORDER BY id"
# The law of our source `popular` with its defaults, over positives that may be known.
ITEMS = """
SELECT id, (count(DISTINCT request_id) FILTER (chosen) + 1) ** 0.75 AS weight, id AS attrs
FROM (
    SELECT positive AS id, request_id, NOT held_out AS chosen FROM drawn WHERE positive NOT NULL
    UNION ALL SELECT negative, request_id, false FROM drawn
    UNION ALL SELECT item_id, NULL, false FROM catalogue
) GROUP BY id ORDER BY id
"""
HARD = """
SELECT anchor AS userid, negative AS itemid, count(DISTINCT request_id)::DOUBLE AS weight
FROM drawn WHERE NOT held_out AND NOT easy GROUP BY ALL ORDER BY ALL
"""
POSITIVE = """
SELECT anchor AS userid, positive AS itemid, count(DISTINCT request_id)::DOUBLE AS weight
FROM drawn WHERE NOT held_out AND positive NOT NULL GROUP BY ALL ORDER BY ALL
"""
FILES = {"user": USERS, "item": ITEMS, "hard_neg_edge": HARD, "pos_edge": POSITIVE}


def easyrec(source: Source, table: str, asked: Asked, folder: Folder) -> None:
    """Four tables; ids are int64 where users and items both are, else strings."""
    schema = source.schema(table)
    kinds = {schema.field(name).type for name in (asked.anchor_column, "pos_item_id")}
    is_text = kinds != {pa.int64()}
    if is_text:
        folder.notes.append(
            "ids are strings: TorchEasyRec reads them with USE_HASH_NODE_ID=1, EasyRec does not"
        )
    with spill(folder.path) as scratch:
        _load(scratch, source, table, asked)
        for name, sql in FILES.items():
            for rows in scratch.rows(sql):
                header, lines = text(rows, is_text=is_text)
                folder.write(f"{name}.tsv", lines, rows.num_rows, header)


def _load(scratch: Scratch, source: Source, table: str, asked: Asked) -> None:
    """The tables `drawn` (distinct pairs of each request) and `catalogue` (known items)."""
    schema = source.schema(table)
    item = schema.field("pos_item_id").type
    request, anchor = (schema.field(n).type for n in ("request_id", asked.anchor_column))
    kinds = [request, anchor, item, item, pa.bool_(), pa.bool_()]
    columns = pa.schema(zip(MARKED, kinds, strict=True))
    marked = (rows.cast(columns) for rows in _marked(source, table, asked))
    scratch.add("rows", columns, marked)
    scratch.run(DRAWN)

    items = pa.schema([("item_id", item)])
    known = source.read("items", ["item_id"]) if "items" in source.build.tables else iter(())
    scratch.add("known", items, (rows.cast(items) for rows in known))
    scratch.run(CATALOGUE)


def _marked(source: Source, table: str, asked: Asked) -> Iterator[pa.RecordBatch]:
    """Pairs with what keeps them from being edges, which is counted."""
    for rows in read_pairs(source, table, asked.anchor_column, ("source",)):
        held_out = pc.is_in(rows["split"], pa.array(HELD_OUT))
        easy = pc.is_in(rows["source"], pa.array(EASY))
        num_easy = pc.sum(pc.and_(easy, pc.invert(held_out))).as_py() or 0
        num_held = pc.sum(held_out).as_py() or 0
        source.left_out.update({"held_out": num_held, "easy": num_easy})
        marks = rows.append_column("held_out", held_out).append_column("easy", easy)
        yield marks.select(MARKED)


def text(rows: pa.RecordBatch, *, is_text: bool) -> tuple[bytes, bytes]:
    """The header and the lines of a table; InputError E0313 for an id that would tear a line."""
    kinds = {"weight": "float", "attrs": "string"}
    id_kind = "string" if is_text else "int64"
    header = "\t".join(f"{name}:{kinds.get(name, id_kind)}" for name in rows.schema.names)
    columns = []
    for field in rows.schema:
        column = rows[field.name].cast(pa.string())
        if field.name != "weight":
            _refuse_unfit(column, field.name)
        columns.append(column)
    lines = pc.binary_join_element_wise(*columns, "\t").to_pylist()
    return f"{header}\n".encode(), "".join(f"{line}\n" for line in lines).encode()


def _refuse_unfit(column: pa.Array, name: str) -> None:
    unfit = pc.match_substring_regex(column, UNFIT)
    if pc.any(unfit).as_py():
        raise InputError(
            "E0313",
            f"an id ({name}) cannot be written as EasyRec's text: it is empty, or holds a tab, "
            "a line break, a colon or a blank at its ends, which its readers cut at",
            found=repr(column.filter(unfit)[0].as_py()),
            help="map ids without those, or numbers, in log.columns; or export --as triplet",
        )
