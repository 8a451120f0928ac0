"""What is to be trained on what, and the hash of all of it that decides the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rankdistill.features.join import Join
from rankdistill.samples.grade_rules import RankBucket
from rankdistill.store.dataset import Build, DataSet
from rankdistill.store.verify import refuse_damaged
from rankdistill.student.device import device_of
from rankdistill.student.drawing import NEGATIVES, Drawing
from rankdistill.student.fields.encode import Fields
from rankdistill.student.folder import read_finished
from rankdistill.student.objectives import Objectives
from rankdistill.student.options import TrainOptions
from rankdistill.student.reading import ListsSource, lists_source
from rankdistill.student.shares import shares_of
from rankdistill.student.start import content
from rankdistill.student.stored import stored_samples

# Of the options what does not change the result, and what is told apart by content.
NO_MATTER = {"threads", "keep_checkpoints", "checkpoint_every", "metrics_every", "trackers"}
EVER = (-(2**62), 2**62)  # every time there is


@dataclass(frozen=True)
class Plan:
    """What is to be trained on what. kinds: resolved options of every configured sample kind;
    objectives: resolved; dts: days of the build to train on, None = all. joins: the feature tables
    that the fields look into, without their files; stage: writes their rows into a folder of its
    own and gives them with their files. between: times to train on, microseconds, [first, last);
    processes: that train together."""

    data_set: DataSet
    build: Build
    options: TrainOptions
    objectives: Objectives
    kinds: Mapping[str, Any]
    seed: int
    dts: Sequence[str] | None = None
    joins: tuple[Join, ...] = ()
    stage: Callable[[Path], tuple[Join, ...]] = lambda folder: ()
    between: tuple[int, int] | None = None
    processes: int = 1

    @property
    def is_incremental(self) -> bool:
        return self.options.mode == "incremental"

    @property
    def drawn(self) -> dict[str, Any]:
        """The kinds that the losses ask for."""
        return {kind: self.kinds[kind] for kind in sorted(self.objectives.kinds)}

    def drawing(self, source: ListsSource, fields: Fields) -> Drawing:
        """How batches to train on are made."""
        is_fresh = self.options.samples == "fresh"
        fresh = {k: o for k, o in self.drawn.items() if is_fresh and k != NEGATIVES}
        rest = [kind for kind in self.drawn if kind not in fresh]
        stored = stored_samples(self.data_set, self.build, rest, source) if rest else None
        made = Drawing(source, fields, fresh, self.seed, stored, self.drawn.get(NEGATIVES))
        made = replace(made, looked_at=self.objectives.slots, in_time=self.is_incremental)
        made = replace(made, orders=self.objectives.draws)
        if self.objectives.uniform is None:
            return made
        positives = made.positives or self.kinds["pointwise"]
        shares = shares_of(source, positives, self.objectives.uniform)
        return replace(made, positives=positives, shares=shares)

    def checking(self, source: ListsSource, fields: Fields) -> Drawing:
        """How batches to validate on are made."""
        return Drawing(source, fields, {}, self.seed, grade=RankBucket())

    @cached_property
    def learned(self) -> ListsSource:
        """The lists to train on; of an incremental run those that have a time."""
        between = self.between or (EVER if self.is_incremental else None)
        return self.source("train", "all", dts=self.dts, between=between)

    @cached_property
    def held_out(self) -> ListsSource:
        """The lists to validate on, of all days of the build."""
        return self.source("valid")

    def source(
        self,
        *splits: str,
        dts: Sequence[str] | None = None,
        between: tuple[int, int] | None = None,
    ) -> ListsSource:
        """Lists with the columns that fields and feature tables ask for; None: all of them."""
        fields = self.options.fields
        joined = {name for join in self.joins for name in join.names}
        names = [f.column for f in (*fields.user, *fields.item) if f.column not in joined]
        keys = [name for join in self.joins for name in join.on if name != "dt"]
        return lists_source(
            self.data_set,
            self.build,
            dts=dts,
            splits=splits,
            columns=list(dict.fromkeys([*names, *keys])),
            between=between,
        )

    def refuse_damaged(self) -> None:
        """PlaceError E0204 where a part to be read is not what was written, by its digest."""
        lists = {p.file for source in (self.learned, self.held_out) for p in source.pieces}
        stored = [
            kind for kind in self.drawn if kind == NEGATIVES or self.options.samples != "fresh"
        ]
        tables = {"lists", *stored} & {*self.build.tables}
        parts = [p for table in sorted(tables) for p in self.data_set.parts(table, self.build)]
        root, days = self.data_set.root, self.dts or self.build.days
        read = [
            part
            for part in parts
            if (
                str(root / "lists" / part.path) in lists
                if part.table == "lists"
                else part.dt in days
            )
        ]
        refuse_damaged(root, self.build, read)

    def facts(self) -> dict[str, Any]:
        """What the run is made of, as JSON values."""
        options = self.options.model_dump(mode="json", exclude=NO_MATTER)
        options["batch"].pop("workers")
        options["start"].pop("vectors")
        options["epochs"] = self.options.num_epochs
        options["device"] = self.device.type
        terms = self.objectives.terms.items()
        return {
            "options": options,
            "served": next(iter(self.objectives.terms)),
            "objectives": {n: [term.model_dump(mode="json") for term in own] for n, own in terms},
            "kinds": {kind: o.model_dump(mode="json") for kind, o in self.drawn.items()},
            "joined": [
                [join.of, join.timed, list(join.on), list(join.names)] for join in self.joins
            ],
            "vectors": self._vectors,
            "goes_on_from": self._before,
            "seed": self.seed,
            "days": sorted(self.dts if self.dts is not None else self.build.days),
            "between": self.between,
            "processes": self.processes,
            "build_id": self.build.build_id,
        }

    @cached_property
    def device(self) -> torch.device:
        """That of this process. ResourceError E0405."""
        return device_of(self.options.device)

    @cached_property
    def _vectors(self) -> dict[str, list[str]]:
        return content(self.options.start.vectors)

    @cached_property
    def _before(self) -> list[str] | None:
        """The hash of the run that this one starts from, and the checkpoint."""
        if self.options.start.run is None:
            return None
        facts = read_finished(Path(self.options.start.run))
        return [facts["run"], facts["student"]]

    def hash(self) -> str:
        """sha256 of what decides the result; what it starts from counts by content."""
        facts = self.facts()
        facts["options"].pop("start")
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
