"""openlineage.json: the run that made the build, as an OpenLineage event (spec 2-0-2).

What is true of the run and not of the rows lives here: when it was over, which files it read.
Nothing is sent anywhere; whoever keeps lineage posts the file.
"""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import pyarrow as pa

from rankdistill.quality import words
from rankdistill.quality.card.contents import Contents, Table

SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE = "rankdistill"
PRODUCER = "urn:rankdistill:"
MARK = f'"producer": "{PRODUCER}'  # as json.dumps writes it


def lineage(contents: Contents) -> str:
    """The file's text: a RunEvent, COMPLETE. Outputs are what the run itself wrote; of a
    rollback, which writes nothing and reads nothing, all that it made current again."""
    producer = f"{PRODUCER}{contents.code_version}"
    event = {
        "eventType": "COMPLETE",
        "eventTime": contents.created_at.isoformat(),
        "producer": producer,
        "schemaURL": EVENT,
        "run": {"runId": _run_id(contents.build_id), "facets": _of_run(contents, producer)},
        "job": {
            "namespace": NAMESPACE,
            "name": f"{contents.kind} {words.plain(contents.name)}",
            "facets": {"jobType": _job_type(producer)},
        },
        "inputs": [place(path) for path in sorted(set(contents.inputs))],
        "outputs": [_output(contents, table, producer) for table in contents.tables],
    }
    return json.dumps(event, indent=1, allow_nan=False) + "\n"


def _run_id(build_id: str) -> str:
    try:
        return str(UUID(build_id))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, build_id))


def place(path: str) -> dict[str, str]:
    """A file as OpenLineage names it; without what may be a secret in a URL."""
    if "://" not in path:
        return {"namespace": "file", "name": path}
    parts = urlsplit(path)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "file":
        return {"namespace": "file", "name": parts.path}
    return {"namespace": f"{parts.scheme}://{host}", "name": parts.path.lstrip("/") or "/"}


def _facet(kind: str, spec: str, producer: str, /, **rest: Any) -> dict[str, Any]:
    url = f"{SPEC}/facets/{spec}/{kind}.json#/$defs/{kind}"
    return {"_producer": producer, "_schemaURL": url, **rest}


def _job_type(producer: str) -> dict[str, Any]:
    kinds = {"processingType": "BATCH", "integration": "RANKDISTILL", "jobType": "JOB"}
    return _facet("JobTypeJobFacet", "2-0-4", producer, **kinds)


def _of_run(contents: Contents, producer: str) -> dict[str, Any]:
    own = {
        "_producer": producer,
        "_schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet",
        "build": contents.number,
        "configHash": contents.config_hash,
        "seed": contents.seed,
        "days": list(contents.days),
        "verdict": contents.document["verdict"] if contents.document else None,
    }
    return {
        "processing_engine": _facet(
            "ProcessingEngineRunFacet",
            "1-1-1",
            producer,
            name="rankdistill",
            version=contents.code_version,
        ),
        "rankdistill_build": own,
    }


def _output(contents: Contents, table: Table, producer: str) -> dict[str, Any]:
    files = [f for f in table.files if f.is_new or contents.kind == "rollback"]
    size = {"rowCount": sum(f.num_rows for f in files), "fileCount": len(files)}
    num_bytes = sum(f.num_bytes for f in files)
    metrics = {
        "bytes": num_bytes,
        "columnMetrics": {k: dict(v) for k, v in table.column_metrics.items()},
    }
    facets = {
        "schema": _facet(
            "SchemaDatasetFacet",
            "1-2-0",
            producer,
            fields=[_column(table, f) for f in table.schema],
        ),
        "dataQualityMetrics": _facet(
            "DataQualityMetricsDatasetFacet", "1-0-0", producer, **size, **metrics
        ),
    }
    if table.version is not None:
        facets["version"] = _facet(
            "DatasetVersionDatasetFacet", "1-0-1", producer, datasetVersion=str(table.version)
        )
    statistics = _facet(
        "OutputStatisticsOutputDatasetFacet", "1-0-2", producer, **size, size=num_bytes
    )
    return {
        "namespace": "file",
        "name": (PurePath(contents.root) / table.name).as_posix(),
        "facets": facets,
        "outputFacets": {"outputStatistics": statistics},
    }


def _column(table: Table, field: pa.Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": str(field.type),
        "description": words.plain(table.meaning(field.name), 300),
    }
