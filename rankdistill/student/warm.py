"""A run that goes on from another: vocabularies grown, weights and optimizer state taken over.

Rows of the embedding table go by field and value, dense weights by name where shapes fit, so the
fields and the vocabularies may differ. Shapes: V rows of D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rankdistill.errors import ConfigError, TrainingError
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.device import moved
from rankdistill.student.fields.encode import BagField, Fields, NumberField, OneField, RowField
from rankdistill.student.fields.kept import load_fields
from rankdistill.student.folder import read_finished
from rankdistill.student.options import FieldsOptions, TrainOptions
from rankdistill.student.vocabulary import Counting, Vocabulary

ID = "id"  # the kind of field that an incremental run trains
WEIGHT, STATE = "table.weight", "table.state"


@dataclass(frozen=True)
class Before:
    """A finished run. tensors: of its student's checkpoint, the optimizer's state among them."""

    folder: Path
    fields: Fields
    facts: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def open(cls, folder: Path, options: TrainOptions, objectives: list[str]) -> Before:
        """Raises TrainingError E0503 where it is damaged, not finished, or an incremental run that
        a full one would start from, ConfigError E0105 where an incremental run is another
        student."""
        facts = read_finished(folder)
        theirs = facts["options"]
        if options.mode == "full" and theirs["mode"] == "incremental":
            raise TrainingError(
                "E0503",
                f"a full run cannot start from the incremental one in {folder}",
                found="it has changed embeddings of ids alone, and knows one stretch of time",
                help=f"set train.start.run: {facts['start']['full']}, the last full run before it",
            )
        if options.mode == "incremental":
            ours = options.model_dump(mode="json") | {"objectives": objectives}
            theirs = {**theirs, "objectives": list(facts["objectives"])}
            names = ("model", "fields", "objectives")
            if differ := [name for name in names if ours[name] != theirs[name]]:
                raise ConfigError(
                    "E0105",
                    f"an incremental run has the student that it starts from, {folder}",
                    key=("train", differ[0]),
                    found=f"another train.{' and train.'.join(differ)}",
                    help="leave these as they were there, or train with mode: full",
                )
        tensors = checkpoints.load(folder / checkpoints.FOLDER, facts["student"]).tensors
        return cls(folder, load_fields(folder, facts), facts, tensors)

    @property
    def full(self) -> str:
        """The last full run: this one, or the one that it goes back to."""
        if self.facts["options"]["mode"] == "full":
            return str(self.folder)
        return str(self.facts["start"]["full"])

    def like(self, options: TrainOptions) -> frozenset[str]:
        """The fields whose options are the same in both."""
        theirs = _by_name(FieldsOptions.model_validate(self.facts["options"]["fields"]))
        ours = _by_name(options.fields)
        return frozenset(name for name, each in ours.items() if theirs.get(name) == each)


def _by_name(options: FieldsOptions) -> dict[str, Any]:
    sides: list[tuple[str, list[Any]]] = [("user", [*options.user]), ("item", [*options.item])]
    return {f"{side}.{each.name}": each for side, own in sides for each in own}


def grown(fields: Fields, before: Before, options: TrainOptions) -> Fields:
    """Fields that were fitted to new lists, going on from those of `before`: vocabularies know
    the values of both (an incremental run's that are not of ids: the old ones), edges, means and
    deviations stay as they were, the newest of items is added."""
    known = {each.name: each for each in (*before.fields.user, *before.fields.item)}
    like, is_full = before.like(options), options.mode == "full"
    made: dict[str, OneField] = {}
    moved: dict[int, RowField] = {}
    first = 0
    for each in (*fields.user, *fields.item):
        if isinstance(each, BagField) and not each.own:
            continue
        old = known.get(each.name)
        found = each if old is None else _continued(each, old, each.name in like, is_full)
        if isinstance(found, RowField):
            found = replace(found, first=first)
            assert isinstance(each, RowField)
            moved[each.first] = found
            first += found.coder.size
        made[each.name] = found
    for each in fields.user:
        if isinstance(each, BagField) and not each.own:
            of = moved[each.first]
            made[each.name] = replace(each, coder=of.coder, first=of.first)
    user, item = (tuple(made[each.name] for each in side) for side in (fields.user, fields.item))
    snapshot = fields.snapshot.after(before.fields.snapshot)
    return Fields(user, item, first, fields.tables, snapshot)


def _continued(each: OneField, old: OneField, is_like: bool, is_full: bool) -> OneField:
    if isinstance(each, NumberField) and isinstance(old, NumberField):
        return replace(each, standard=old.standard)
    if not isinstance(each, RowField) or not isinstance(old, RowField):
        return each
    if isinstance(each.coder, Vocabulary) and isinstance(old.coder, Vocabulary):
        grows = is_full or each.kind == ID
        return replace(each, coder=union(old.coder, each.coder) if grows else old.coder)
    return replace(each, coder=old.coder) if is_like else each


def union(old: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The ids of both, their counts added up."""
    kinds = {each.id.type for each in (old, new) if len(each.id)}
    kind = kinds.pop() if len(kinds) == 1 else pa.string()
    counting = Counting()
    for each in (old, new):
        counting.add(each.id.cast(kind), each.count)
    return counting.vocabulary()


def take_over(
    tensors: Mapping[str, torch.Tensor], fields: Fields, before: Before
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(those of a fresh run, with all that `before` knows in its place; how much that is).
    ConfigError E0105 where their embeddings differ in width."""
    found = dict(tensors)
    width, theirs = found[WEIGHT].shape[1], before.tensors[WEIGHT].shape[1]
    if width != theirs:
        raise ConfigError(
            "E0105",
            f"embeddings of the run in {before.folder} are {theirs} wide, of train.model {width}",
            key=("train", "start", "run"),
            help="give a model of that width, or start afresh",
        )
    known = {each.name: each for each in before.fields.own_rows()}
    told = {}
    for each in fields.own_rows():
        to, of = same_values(each, known.get(each.name))
        for name in (WEIGHT, STATE):
            device = found[name].device
            kept = before.tensors[name][torch.from_numpy(of)].to(device)
            found[name][moved(to, device)] = kept
        told[each.name] = {"values": each.coder.size - 1, "found": int((to > each.first).sum())}
    dense = [name for name in found if not name.startswith("table.")]
    fit = [n for n in dense if n in before.tensors and before.tensors[n].shape == found[n].shape]
    fit_student = {name.removeprefix("student.") for name in fit}
    for name, tensor in before.tensors.items():
        *_, own = name.split(".", 2)
        if name in fit or (name.startswith("adam.") and own in fit_student):
            found[name] = tensor
    return found, {"fields": told, "dense": {"weights": len(dense), "found": len(fit)}}


def same_values(new: RowField, old: RowField | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the new table, and the row of the old one that stands for the same value."""
    none = np.zeros(0, np.int64)
    if old is None or type(old.coder) is not type(new.coder):
        return none, none
    if not isinstance(new.coder, Vocabulary) and not old.coder.table().equals(new.coder.table()):
        return none, none
    keys, wanted = old.coder.keys(), new.coder.keys()
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    at = np.flatnonzero(keys[order][place] == wanted)
    return new.first + at, old.first + order[place[at]]


def id_rows(fields: Fields) -> list[tuple[int, int]]:
    """The ranges of rows that an incremental run trains."""
    return [
        (each.first, each.first + each.coder.size) for each in fields.own_rows() if each.kind == ID
    ]


def tell(told: Mapping[str, Any], folder: Path, say: Callable[[str], None]) -> None:
    """How much of a student goes on from the run in `folder`."""
    for name, each in told["fields"].items():
        say(f"{name}: {each['found']:,} of {each['values']:,} values go on from {folder}")
    dense = told["dense"]
    say(f"dense weights: {dense['found']} of {dense['weights']} tensors go on from {folder}")
