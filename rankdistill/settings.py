"""The whole configuration, composed of the options that each room keeps beside its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from rankdistill.catalogue.options import CatalogueOptions
from rankdistill.config import Options, config_hash, load
from rankdistill.document import Document, apply_overrides, read_file
from rankdistill.engines.duckdb_options import DuckDbOptions
from rankdistill.engines.spark_options import SparkOptions
from rankdistill.errors import UserErrors, unknown
from rankdistill.features.options import FeatureTable, of_rows
from rankdistill.log.days import DtOptions, SplitOptions
from rankdistill.log.presets import PRESETS
from rankdistill.log.source import LogOptions
from rankdistill.quality.options import QualityOptions
from rankdistill.samples.listwise import ListwiseOptions
from rankdistill.samples.negative_options import NegativesOptions
from rankdistill.samples.pairwise import PairwiseOptions
from rankdistill.samples.pointwise import PointwiseOptions
from rankdistill.student.evaluation.options import EvaluateOptions
from rankdistill.student.options import TrainOptions

Engine = Annotated[DuckDbOptions | SparkOptions, Field(discriminator="kind")]


class Samples(Options):
    """The sample kinds to build; a kind left out is not built."""

    lists: bool = Field(True, description="keep the ranked lists themselves, too")
    pointwise: PointwiseOptions | None = None
    pairwise: PairwiseOptions | None = None
    listwise: ListwiseOptions | None = None
    negatives: NegativesOptions | None = None

    def kinds(self) -> dict[str, Any]:
        """{kind: its options}, of the configured kinds."""
        return {name: value for name in SAMPLE_KINDS if (value := getattr(self, name)) is not None}


SAMPLE_KINDS = ("pointwise", "pairwise", "listwise", "negatives")


class Settings(Options):
    """One YAML file: from a log to a data set of ranked lists and samples."""

    output: str = Field(description="the data set's folder")
    seed: int = Field(20261121, ge=0, lt=2**63, description="of every draw")
    student: Literal["recall", "prerank"] = Field(
        "recall", description="the stage the student serves; sets defaults"
    )
    engine: Engine = DuckDbOptions()
    log: LogOptions
    dt: DtOptions = DtOptions()
    split: SplitOptions = SplitOptions()
    catalogue: CatalogueOptions | None = Field(
        None, description="count items by day; by default where a sample kind needs it"
    )
    features: list[FeatureTable] = Field(
        [], description="tables of what is known of users, items and requests"
    )
    samples: Samples = Samples()
    quality: QualityOptions = QualityOptions()
    train: TrainOptions = TrainOptions()
    evaluate: EvaluateOptions = EvaluateOptions()

    _document: Document | None = PrivateAttr(None)

    def placed(self, found: UserErrors) -> UserErrors:
        """The same errors, each with its place in the file that these settings come from."""
        for error in found.errors:
            if error.place is None and error.key is not None and self._document is not None:
                error.place = self._document.place(error.key)
        return found

    def hash(self) -> str:
        """A hash of everything that decides which rows are built; places do not count."""
        dump = self.model_dump(mode="json", by_alias=True)
        items = (dump["catalogue"] or {}).get("items")
        mined = (dump["samples"]["negatives"] or {}).get("mined")
        for source in (dump["log"], dump["log"]["feedback"], items, mined):
            for key in ("path", "on_corrupt", "verify_checksums"):
                (source or {}).pop(key, None)
        dump["features"] = of_rows(dump["features"])
        return config_hash(dump, leave_out=("output", "engine", "quality", "train", "evaluate"))


def read_settings(path: str | Path, overrides: Sequence[str] = ()) -> Settings:
    """The settings of a YAML file with `--set` overrides. UserErrors: every fault at once."""
    return settings_of(read_file(path), overrides)


def settings_of(document: Document, overrides: Sequence[str] = ()) -> Settings:
    """The same of a document that has been read."""
    whole = completed(apply_overrides(document, overrides))
    settings = load(Settings, whole)
    settings._document = whole
    return settings


def completed(document: Document) -> Document:
    """The document with the engine's kind and the log preset's keys where the user gave none."""
    document = with_engine_kind(document)
    log = document.data.get("log")
    if not isinstance(log, dict):
        return document
    preset = log.get("preset", "generic")
    if preset not in PRESETS:
        place = document.place(("log", "preset"))
        ask = "--set log.preset="
        raise unknown("E0104", "log.preset", str(preset), list(PRESETS), ask, place)
    return replace(document, data={**document.data, "log": merged(PRESETS[preset], log)})


def with_engine_kind(document: Document) -> Document:
    """The document with the engine's kind where the user gave the engine, but no kind."""
    engine = document.data.get("engine")
    if not isinstance(engine, dict) or "kind" in engine:
        return document
    engine = {"kind": DuckDbOptions().kind, **engine}
    return replace(document, data={**document.data, "engine": engine})


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`; mappings merge key by key, anything else is replaced."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            # A rule of another kind replaces the preset's rule whole.
            same_kind = value.get("from", below.get("from")) == below.get("from")
            result[key] = merged(below, value) if same_kind else value
        else:
            result[key] = value
    return result
