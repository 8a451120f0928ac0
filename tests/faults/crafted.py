"""Parquet files that lie about themselves: magic, sizes, counts, nesting. `python crafted.py`."""

from __future__ import annotations

import copy
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.mutated import compared, outcome, told, write
from tests.faults.thrift import BYTES, I32, STRUCT, decode, encode

HUGE = 2**62
SCHEMA, ROWS, GROUPS = 2, 3, 4  # of the footer
COLUMNS, GROUP_ROWS = 1, 3  # of a row group
META = 3  # of a column
CODEC, VALUES, PACKED, DATA, DICTIONARY = 4, 5, 7, 9, 11  # of its meta data


def parts(data: bytes) -> tuple[bytes, dict]:
    size = int.from_bytes(data[-8:-4], "little")
    return data[: -8 - size], decode(data[-8 - size : -8])[0]


def joined(body: bytes, footer: dict) -> bytes:
    made = encode(footer)
    return body + made + len(made).to_bytes(4, "little") + b"PAR1"


def column(footer: dict) -> dict:
    return footer[GROUPS][1][1][0][COLUMNS][1][1][0][META][1]


def with_field(way: Callable[[dict], dict], field: int, value: int) -> Callable[[bytes], bytes]:
    def made(data: bytes) -> bytes:
        body, footer = parts(data)
        footer = copy.deepcopy(footer)
        struct = way(footer)
        struct[field] = (struct[field][0], value)
        return joined(body, footer)

    return made


def footer_of(footer: dict) -> dict:
    return footer


def group_of(footer: dict) -> dict:
    return footer[GROUPS][1][1][0]


def root_of(footer: dict) -> dict:
    return footer[SCHEMA][1][1][0]


def nested(data: bytes) -> bytes:
    """A schema of 20,000 groups, each in the one before."""
    body, footer = parts(data)
    root, *columns = footer[SCHEMA][1][1]
    group = {3: (I32, 0), 4: (BYTES, b"g"), 5: (I32, 1)}
    root = {**root, 5: (I32, 1)}
    return joined(body, {**footer, SCHEMA: (9, (STRUCT, [root, *[group] * 20_000, columns[0]]))})


def no_column(data: bytes) -> bytes:
    body, footer = parts(data)
    return joined(body, {**footer, SCHEMA: (9, (STRUCT, [footer[SCHEMA][1][1][0]]))})


def page(field: int, value: int) -> Callable[[bytes], bytes]:
    """A size in the header of the first page; what follows it is moved."""

    def made(data: bytes) -> bytes:
        header, end = decode(data, 4)
        kind, _ = header[field]
        return data[:4] + encode({**header, field: (kind, value)}) + data[end:]

    return made


def footer_size(size: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:-8] + size.to_bytes(4, "little") + data[-4:]


CASES: dict[str, Callable[[bytes], bytes]] = {
    "unchanged, written anew": lambda data: joined(*parts(data)),
    "magic at the end": lambda data: data[:-4] + b"PARX",
    "magic of an encrypted footer": lambda data: data[:-4] + b"PARE",
    "a footer of no bytes": footer_size(0),
    "a footer longer than the file": footer_size(1 << 20),
    "a footer of 4 GB": footer_size(2**32 - 1),
    "rows below 0": with_field(footer_of, ROWS, -1),
    "rows beyond count": with_field(footer_of, ROWS, HUGE),
    "a row group of rows below 0": with_field(group_of, GROUP_ROWS, -5),
    "a row group of rows beyond count": with_field(group_of, GROUP_ROWS, HUGE),
    "values below 0": with_field(column, VALUES, -1),
    "values beyond count": with_field(column, VALUES, HUGE),
    "a column of bytes below 0": with_field(column, PACKED, -1),
    "a column of bytes beyond the file": with_field(column, PACKED, HUGE),
    "pages before the file": with_field(column, DATA, -100),
    "pages behind the file": with_field(column, DATA, HUGE),
    "an unknown codec": with_field(column, CODEC, 99),
    "a schema of two thousand million children": with_field(root_of, 5, 2**31 - 1),
    "a schema without a column": no_column,
    "a schema 20,000 levels deep": nested,
    "a page of 2 GB unpacked": page(2, 2**31 - 1),
    "a page of bytes below 0": page(3, -7),
}


def main(folder: Path, verify: bool) -> None:
    good = write(folder / "good.parquet", verify)
    clean = outcome(folder / "good.parquet", folder / "clean", verify=verify)
    for number, (name, craft) in enumerate(CASES.items()):
        (folder / "bad.parquet").write_bytes(craft(good))
        found: dict[str, Any] = outcome(
            folder / "bad.parquet", folder / f"o{number}", verify=verify
        )
        told({"case": name, **compared(clean, found)})
    told({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "checksums")
