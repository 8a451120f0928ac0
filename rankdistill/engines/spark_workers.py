"""Spark's Python workers are looked at before there is any work for them.

A worker of another Python, or without a package, would fail an hour later, behind the shuffle;
one with other versions might make other rows.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from rankdistill.engines.spark_errors import told
from rankdistill.engines.versions import ON_WORKERS, skew, versions
from rankdistill.errors import ResourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def check_workers(spark: SparkSession) -> None:
    """ResourceError E0404 where workers differ from this process in what decides rows.

    A tiny task on each core that is there; none where the workers are this very Python.
    """
    if _are_here(spark):
        return
    with told():
        rows = spark.range(10_000).mapInArrow(_versions, "value string").collect()
    here = versions()
    for value in sorted({row["value"] for row in rows}):
        if found := skew(here, json.loads(value)):
            raise ResourceError(
                "E0404",
                "Spark's workers have other versions than the driver",
                found=found,
                help=ON_WORKERS,
            )


def _are_here(spark: SparkSession) -> bool:
    is_local = str(spark.conf.get("spark.master", "")).startswith("local")
    return is_local and os.environ.get("PYSPARK_PYTHON") == sys.executable


def _versions(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"value": [json.dumps(versions(), sort_keys=True)]})
