"""croissant.json: the data set in Croissant 1.0 (JSON-LD), as data catalogues read it.

Files are named one by one with their sha256; a table's file set lists them, never a pattern.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rankdistill.quality import words
from rankdistill.quality.card.contents import Contents, Table

VERSION = "http://mlcommons.org/croissant/1.0"
MARK = "made by rankdistill."  # no other writer's description says so
PARQUET = "application/x-parquet"
# The context that the specification prints.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(contents: Contents) -> str:
    """The file's text."""
    tables = contents.held
    found: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": words.plain(contents.name),
        "description": _description(contents),
        "license": "unknown",
        "version": f"{contents.number}.0.0",
        "datePublished": contents.created_at.isoformat(timespec="seconds"),
        "distribution": [file for table in tables for file in _files(table)],
        "recordSet": [_records(table) for table in tables],
    }
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _description(contents: Contents) -> str:
    start = f"Samples for distilling a ranker, {contents.title}, {MARK}"
    if contents.document is None:
        return start
    return f"{start} {words.sentence(contents.document)}"


def _files(table: Table) -> list[dict[str, Any]]:
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{file.num_bytes} B",
            "encodingFormat": PARQUET,
            "sha256": file.sha256,
        }
        for file in table.files
    ]
    of_all = {
        "@type": "cr:FileSet",
        "@id": _set_of(table),
        "name": _set_of(table),
        "description": f"the files of {table.name}",
        "encodingFormat": PARQUET,
        "includes": [file.path for file in table.files],
    }
    return [*objects, of_all]


def _set_of(table: Table) -> str:
    return f"{table.name}-files"


def _records(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": f"{table.title}; {table.num_rows} rows",
        "field": [_field(table, column) for column in table.schema],
    }


def _field(table: Table, column: pa.Field) -> dict[str, Any]:
    is_list = pa.types.is_list(column.type)
    source: dict[str, Any] = {"fileSet": {"@id": _set_of(table)}}
    if column.name == "dt":
        source["extract"] = {"fileProperty": "fullpath"}
        source["transform"] = {"regex": ".*/dt=([^/]+)/.*"}  # matched from the start
    else:
        source["extract"] = {"column": column.name}
    return {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        "description": words.plain(table.meaning(column.name), 300),
        "dataType": _type(column.type.value_type if is_list else column.type),
        **({"repeated": True} if is_list else {}),
        "source": source,
    }


def _type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "sc:DateTime"
    return "sc:Boolean" if pa.types.is_boolean(kind) else "sc:Text"
