"""Builds of damaged Parquet files in a process of their own: `python mutated.py SPEC`.

A crash of a reader must end this process and not the tests. One JSON line per file says what
came of it; the last line says what memory it took. Every file has an engine of its own, as in
life: a fault may end a DuckDB database, which then refuses whole files, too.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.build import build
from rankdistill.errors import UserError, UserErrors
from rankdistill.store.dataset import DataSet
from tests.log.door_kit import settings

RANKED = {"request_id": "r", "item_id": "i", "rank": "k", "teacher_score": "s"}


def table(num: int = 300) -> pa.Table:
    draw = random.Random(6)
    rows = [
        {"r": f"r{n % 15}", "i": f"v{n}", "k": n // 15 + 1, "s": round(draw.gauss(0, 1), 2)}
        for n in range(num)
    ]
    return pa.Table.from_pylist(rows)


def write(path: Path, has_checksums: bool) -> bytes:
    pq.write_table(table(), path, write_page_checksum=has_checksums, row_group_size=150)
    return path.read_bytes()


def flipped(data: bytes, seed: int) -> bytes:
    """Bits flipped at one to eight places, wherever they fall."""
    draw, made = random.Random(seed), bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 8])):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def outcome(path: Path, out: Path, *, verify: bool) -> dict[str, Any]:
    """{"rows": candidates as text, "door": counts}, or {"codes": of the errors, "text": theirs}."""
    log = {"path": str(path), "columns": RANKED, "verify_checksums": verify}
    chosen = settings(log, out, samples={"listwise": {}}, engine={"kind": "duckdb", "threads": 1})
    chosen = chosen.model_copy(
        update={"quality": chosen.quality.model_copy(update={"measure": False})}
    )
    try:
        made = build(chosen)
    except (UserError, UserErrors) as fault:
        errors = fault.errors if isinstance(fault, UserErrors) else (fault,)
        assert not DataSet.open(out).versions() if (out / "builds").exists() else True
        return {"codes": [e.code for e in errors], "text": " ".join(map(str, errors))}
    rows = [
        repr((row["request_id"], *candidate))
        for batch in DataSet.open(out).read("lists")
        for row in batch.to_pylist()
        for candidate in zip(row["item_id"], row["rank"], row["teacher_score"], strict=True)
    ]
    return {"rows": rows, "door": dict(made.door)}


def compared(clean: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What one file came to: refused by codes, or the rows that are missing and too many."""
    if "codes" in found:
        return found
    there, here = Counter(clean["rows"]), Counter(found["rows"])
    set_aside = sum(n for name, n in found["door"].items() if name.startswith("rejected."))
    lost, more = (there - here).total(), (here - there).total()
    return {"lost": lost, "duplicated": more, "set_aside": set_aside}


def told(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main(folder: Path, first: int, num: int, has_checksums: bool) -> None:
    good = write(folder / "good.parquet", has_checksums)
    clean = outcome(folder / "good.parquet", folder / "clean", verify=has_checksums)
    told({"control": len(clean["rows"])})
    for seed in range(first, first + num):
        (folder / "bad.parquet").write_bytes(flipped(good, seed))
        found = outcome(folder / "bad.parquet", folder / f"o{seed}", verify=has_checksums)
        told({"seed": seed, **compared(clean, found)})
    # The file that is whole is read to the end: refusing all there is were no virtue.
    again = outcome(folder / "good.parquet", folder / "again", verify=has_checksums)
    told({"control": len(again["rows"]), "same": again["rows"] == clean["rows"]})
    told({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "checksums")
