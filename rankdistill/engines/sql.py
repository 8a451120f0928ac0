"""DuckDB's SQL text for a source, a projection and conditions; names are always quoted here."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from rankdistill.engines.delivered import type_at
from rankdistill.engines.query import Path
from rankdistill.errors import ConfigError, closest
from rankdistill.log.casts import SHARP, WHOLE
from rankdistill.log.files import Opened
from rankdistill.log.source import Condition

TEXT_FORMATS = ("csv", "tsv")
FILE = "file of the row"  # a column beside the source's own
_AS_IT_IS: Mapping[str, str] = {}
PLAIN = re.compile(r"[\w./: %,@-]*", re.ASCII)


def name(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A quoted string."""
    return "'" + value.replace("'", "''") + "'"


def relation(source: Opened) -> str:
    """The table that reads the files of `source` under its logical column names."""
    if source.options.format == "feather":
        return name(feather_view(source))
    if not source.partition_names or _is_plain(source):
        return _read(source, source.paths, hive=bool(source.partition_names))
    by_value: dict[tuple[tuple[str, str | None], ...], list[str]] = {}
    for file in source.files:
        by_value.setdefault(file.partition, []).append(file.path)
    own = [_column(field.name, source.schema) for field in _own(source)]
    parts = []
    for partition, paths in by_value.items():
        values = [f"{_value(value)} AS {name(key)}" for key, value in partition]
        read = _read(source, paths, hive=False)
        parts.append(f"SELECT {', '.join([*own, *values])} FROM {read}")
    return f"({' UNION ALL '.join(parts)})"


def _is_plain(source: Opened) -> bool:
    """Whether DuckDB reads the partition folders as we do: it stumbles over ? and = in values."""
    values = [value for file in source.files for _, value in file.partition if value is not None]
    return source.options.format != "trec" and all(PLAIN.fullmatch(value) for value in values)


def _value(value: str | None) -> str:
    return "CAST(NULL AS VARCHAR)" if value is None else text(value)


def _read(source: Opened, paths: Sequence[str], *, hive: bool) -> str:
    files = "[" + ", ".join(text(glob.escape(path)) for path in paths) + "]"
    kind = source.options.format
    by_folder = "hive_partitioning = true, hive_types_autocast = false"
    partition = by_folder if hive else "hive_partitioning = false"
    if kind == "parquet":
        by_name = ", union_by_name = true" if source.widened else ""
        return f"read_parquet({files}, {partition}{by_name})"
    if kind in TEXT_FORMATS:
        return _csv(source, files, partition, source.partition_names if hive else ())
    if kind == "jsonl":
        return _json(source, files, partition, source.partition_names if hive else ())
    if kind == "trec":
        return _trec(source, files)
    raise ConfigError(
        "E0105",
        f"the duckdb engine does not read {kind}",
        help="use --engine spark, or write Parquet",
    )


def feather_view(source: Opened) -> str:
    """The name under which the engine registers the files of a feather source."""
    return f"feather:{source.paths[0]}"


def projection(
    paths: dict[str, Path], schema: pa.Schema, ids: Mapping[str, str] = _AS_IT_IS
) -> str:
    """SELECT items: each path under its alias; a field inside a list of structs is its list.

    ids: aliases to be read as int or text, null where that cannot be.
    """
    items = []
    for alias, path in paths.items():
        value = _expression(path, schema)
        if alias in ids:
            value = _id(value, type_at(path, schema), ids[alias])
        items.append(f"{value} AS {name(alias)}")
    return ", ".join(items)


def _id(value: str, kind: pa.DataType, read_as: str) -> str:
    """An id as `log.casts` reads it."""
    if read_as == "text":
        return f"CAST({value} AS VARCHAR)"
    if pa.types.is_floating(kind):
        fits = f"{value} = floor({value}) AND abs({value}) < {SHARP:.0f}"
    elif pa.types.is_integer(kind):
        fits = "true"
    else:
        fits = f"regexp_matches({value}, {text(WHOLE)})"
    return f"CASE WHEN {fits} THEN TRY_CAST({value} AS BIGINT) END"


def conditions(where: Sequence[Condition], schema: pa.Schema) -> tuple[str, list[Any]]:
    """(" WHERE ..." or "", values of its parameters)."""
    parts: list[str] = []
    values: list[Any] = []
    for condition in where:
        kind = column_type(condition.column, schema)
        path = (
            (condition.column,)
            if condition.column in schema.names
            else tuple(condition.column.split("."))
        )
        column = _expression(path, schema)
        operands = condition.values if condition.op == "in" else [condition.value]
        numeric = any(isinstance(v, int | float) for v in operands or [])
        if pa.types.is_string(kind) and numeric:
            column = f"TRY_CAST({column} AS DOUBLE)"
        if condition.op in ("is_null", "not_null"):
            parts.append(f"{column} IS {'NOT ' if condition.op == 'not_null' else ''}NULL")
        elif condition.op == "in":
            assert condition.values is not None
            parts.append(f"{column} IN ({', '.join('?' * len(condition.values))})")
            values += condition.values
        else:
            operator = "<>" if condition.op == "!=" else condition.op
            parts.append(f"{column} {operator} ?")
            values.append(condition.value)
    return (" WHERE " + " AND ".join(parts) if parts else ""), values


def column_type(column: str, schema: pa.Schema) -> pa.DataType:
    """The type of a `where` column; ConfigError E0102 where there is none."""
    if column in schema.names:
        return schema.field(column).type
    kind: pa.DataType = pa.struct(list(schema))
    for part in column.split("."):
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            near = closest(column, schema.names)
            raise ConfigError(
                "E0102",
                f'column "{column}" (log.where) is not in the input',
                found=", ".join(schema.names[:40]),
                help=f'did you mean "{near}"?' if near else None,
            )
        kind = kind.field(part).type
    return kind


def _expression(path: Path, schema: pa.Schema) -> str:
    sql, kind = _column(path[0], schema), schema.field(path[0]).type
    for i, part in enumerate(path[1:], start=1):
        if not pa.types.is_struct(kind):
            fields = "".join(f".{name(inner)}" for inner in path[i:])
            return f"list_transform({sql}, lambda x: x{fields})"
        sql, kind = f"{sql}.{name(part)}", kind.field(part).type
    return sql


def _column(identifier: str, schema: pa.Schema) -> str:
    """A quoted column; the unnamed one by its place, as DuckDB calls it in Parquet files."""
    return name(identifier or f"C{schema.names.index(identifier)}")


def _own(source: Opened) -> list[pa.Field]:
    return [field for field in source.schema if field.name not in source.partition_names]


def _csv(source: Opened, files: str, partition: str, folders: Sequence[str]) -> str:
    options = source.options
    delimiter = options.delimiter or ("\t" if options.format == "tsv" else ",")
    own = _own(source)
    # Positional names: the file's own may be empty or hold anything.
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(own)))
    read = (
        f"read_csv({files}, auto_detect = false, header = {str(options.header).lower()}, "
        f"delim = {text(delimiter)}, quote = '\"', escape = '\"', nullstr = '', "
        f"columns = {{{columns}}}, {partition})"
    )
    renamed = ", ".join(
        f"c{i} AS {_column(field.name, source.schema)}" for i, field in enumerate(own)
    )
    rest = "".join(f", {name(folder)}" for folder in folders)
    return f"(SELECT {renamed}{rest} FROM {read})"


def _json(source: Opened, files: str, partition: str, folders: Sequence[str]) -> str:
    """Typed columns; a value of another type ends the query: DuckDB alone would cast it."""
    own = _own(source)
    columns = ", ".join(f"{text(field.name)}: 'JSON'" for field in own)
    read = (
        f"read_json({files}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"filename = {text(FILE)}, {partition})"
    )
    typed = [
        f"{_strict(name(field.name), field.type, field.name)} AS {name(field.name)}"
        for field in own
    ]
    return f"(SELECT {', '.join([*typed, *map(name, folders)])} FROM {read})"


def _strict(value: str, kind: pa.DataType, column: str, depth: int = 0) -> str:
    """A JSON value as `kind`, or an error that names file and column."""
    json_types: tuple[str, ...]
    if pa.types.is_list(kind):
        inner = _strict(f"x{depth}", kind.value_type, column, depth + 1)
        json_types, read = ("ARRAY",), f"list_transform({value}::JSON[], lambda x{depth}: {inner})"
    elif pa.types.is_struct(kind):
        pointers = [(f, "/" + f.name.replace("~", "~0").replace("/", "~1")) for f in kind]
        fields = [
            f"{name(f.name)} := "
            + _strict(f"json_extract({value}, {text(at)})", f.type, column, depth + 1)
            for f, at in pointers
        ]
        json_types, read = ("OBJECT",), f"struct_pack({', '.join(fields)})"
    elif pa.types.is_string(kind) or pa.types.is_null(kind):
        json_types, read = ("VARCHAR",), f"json_extract_string({value}, '$')"
    else:
        json_types, read = _JSON_TYPES[kind], f"CAST({value} AS {_type(kind)})"
    said = text(f': column "{column}" holds a ')
    wrong = f"error({name(FILE)} || {said} || json_type({value}) || {text(f', not {kind}')})"
    return (
        f"CASE WHEN {value} IS NULL OR json_type({value}) = 'NULL' THEN NULL "
        f"WHEN json_type({value}) IN ({', '.join(map(text, json_types))}) THEN {read} "
        f"ELSE CAST({wrong} AS {_type(kind)}) END"
    )


def _trec(source: Opened, files: str) -> str:
    """Fields are parted by any run of blanks; empty lines do not count, others must be whole."""
    names = [field.name for field in _own(source)]
    trimmed, blanks = "trim(line, ' \t\r')", "'[ \t]+'"
    lines = (
        f"(SELECT regexp_split_to_array({trimmed}, {blanks}) AS fields, {name(FILE)} "
        f"FROM read_csv({files}, auto_detect = false, header = false, delim = '\x01', "
        f"quote = '', escape = '', columns = {{'line': 'VARCHAR'}}, filename = {text(FILE)}, "
        # Line ends may be mixed.
        "strict_mode = false) "
        f"WHERE {trimmed} <> '')"
    )
    wrong = f"error({name(FILE)} || ': a line has ' || len(fields) || ' fields, not {len(names)}')"
    whole = f"CASE WHEN len(fields) = {len(names)} THEN fields ELSE CAST({wrong} AS VARCHAR[]) END"
    columns = ", ".join(f"whole[{i}] AS {name(n)}" for i, n in enumerate(names, start=1))
    return f"(SELECT {columns} FROM (SELECT {whole} AS whole FROM {lines}))"


_JSON_TYPES = {
    pa.int64(): ("BIGINT", "UBIGINT"),
    pa.float64(): ("DOUBLE", "BIGINT", "UBIGINT"),
    pa.bool_(): ("BOOLEAN",),
}
_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.null(): "VARCHAR",
}


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        fields = ", ".join(f"{name(f.name)} {_type(f.type)}" for f in kind)
        return f"STRUCT({fields})"
    return _TYPES[kind]
