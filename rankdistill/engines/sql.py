"""DuckDB's SQL text for a source, a projection and conditions; names are always quoted here."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rankdistill.engines.query import Path
from rankdistill.errors import ConfigError, closest
from rankdistill.log.files import Opened
from rankdistill.log.source import Condition

TEXT_FORMATS = ("csv", "tsv")


def name(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """A quoted string."""
    return "'" + value.replace("'", "''") + "'"


def relation(source: Opened) -> str:
    """The table function that reads the files of `source` under its logical column names."""
    files = "[" + ", ".join(text(glob.escape(path)) for path in source.paths) + "]"
    kind = source.options.format
    hive = "hive_partitioning = true, hive_types_autocast = false"
    partition = hive if source.partition_names else "hive_partitioning = false"
    if kind == "parquet":
        by_name = ", union_by_name = true" if source.widened else ""
        return f"read_parquet({files}, {partition}{by_name})"
    if kind in TEXT_FORMATS:
        return _csv(source, files, partition)
    if kind == "jsonl":
        columns = ", ".join(
            f"{text(field.name)}: {text(_type(field.type))}" for field in _own(source)
        )
        return (
            f"read_json({files}, format = 'newline_delimited', columns = {{{columns}}}, "
            f"{partition})"
        )
    if kind == "feather":
        return name(feather_view(source))
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


def projection(paths: dict[str, Path], schema: pa.Schema) -> str:
    """SELECT items: each path under its alias; a field inside a list of structs is its list."""
    return ", ".join(
        f"{_expression(path, schema)} AS {name(alias)}" for alias, path in paths.items()
    )


def conditions(where: Sequence[Condition], schema: pa.Schema) -> tuple[str, list[Any]]:
    """(" WHERE ..." or "", values of its parameters)."""
    parts, values = [], []
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


def _csv(source: Opened, files: str, partition: str) -> str:
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
    rest = "".join(f", {name(partition_name)}" for partition_name in source.partition_names)
    return f"(SELECT {renamed}{rest} FROM {read})"


def _trec(source: Opened, files: str) -> str:
    """Fields are parted by any run of blanks; empty lines do not count."""
    lines = (
        "(SELECT regexp_split_to_array(trim(line, ' \t\r'), '[ \t]+') AS fields "
        f"FROM read_csv({files}, auto_detect = false, header = false, delim = '\x01', "
        "quote = '', escape = '', columns = {'line': 'VARCHAR'}) WHERE trim(line, ' \t\r') <> '')"
    )
    columns = ", ".join(
        f"fields[{i}] AS {name(column)}" for i, column in enumerate(source.schema.names, start=1)
    )
    return f"(SELECT {columns} FROM {lines})"


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
