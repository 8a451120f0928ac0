"""One export, from a finished run to the folder that holds it. The room's front door.

items.parquet        item_id, vector: row i is item i of the index
users.parquet        user_id, vector, where asked for
user_tower.pt2       inputs of a user -> vectors, as a torch.export program; .onnx the same
user_values.parquet  the vocabularies of the user side; encoder.py makes inputs with it
items.index          faiss, where asked for
manifest.json        what it was made of and how far it is from the run
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rankdistill import __version__
from rankdistill.catalogue.ann import build_index, faiss_package, settled
from rankdistill.catalogue.nearest import MAX_PRODUCT
from rankdistill.catalogue.nearest import Vectors as Searched
from rankdistill.errors import InputError, TrainingError
from rankdistill.export.folder import Folder, new_folder
from rankdistill.student import serving
from rankdistill.student.fields.encode import Fields
from rankdistill.student.folder import load_student
from rankdistill.student.scoring import Scorer
from rankdistill.student.serving import parity, tower
from rankdistill.student.serving.options import ExportOptions
from rankdistill.student.serving.user_side import UserSide
from rankdistill.student.serving.vectors import Known, as_rows, item_vectors, known_items
from rankdistill.student.serving.vectors import user_vectors as vectors_of_users

VERSION, KIND = 1, "rankdistill export"
ITEMS, USERS, VALUES, INDEX = "items.parquet", "users.parquet", "user_values.parquet", "items.index"
ENCODER = "encoder.py"
OF_RUN = ("run", "build", "build_id", "days", "seed", "student", "served")
OF_CONFIG = ("options", "objectives", "kinds")
_FEW = 3  # users that the program is traced with


@dataclass
class Export:
    """What is under way. own: the run's vectors of the drawn users, [R, d] of each objective;
    value: the items' vectors, float32 [I, d]."""

    folder: Folder
    scorer: Scorer
    fields: Fields
    options: ExportOptions
    known: Known

    def __post_init__(self) -> None:
        self.side = UserSide(self.fields)
        num = max(self.options.parity.rows, self.options.parity.users, _FEW)
        self.users = self.side.drawn(num, self.options.seed)
        self.arrays = self.side.arrays(self.users)
        self.own = parity.run_vectors(self.scorer, self.users)
        self.parity: dict[str, Any] = {}
        self.value = np.zeros((0, self.scorer.student.size), np.float32)

    def put_items(self) -> None:
        pieces = []
        for ids, value in item_vectors(self.scorer, self.known):
            self.folder.write_table(ITEMS, as_rows("item_id", ids, value))
            pieces.append(value)
        if not pieces:
            raise InputError("E0312", "there is no item to export", help="give a table as items")
        self.value = np.concatenate(pieces)
        largest = np.linalg.norm(self.value, axis=1).max() * np.linalg.norm(self.own[0], axis=1)
        if not largest.max() <= MAX_PRODUCT:
            raise parity.unlike("vectors", "numbers that are NaN, infinite or too large")

    def put_users(self) -> None:
        given = None if self.options.users == "known" else self.options.users
        for ids, value in vectors_of_users(self.scorer, self.fields, given):
            self.folder.write_table(USERS, as_rows("user_id", ids, value))

    def put_tower(self) -> None:
        """The user side as programs, compared with the run."""
        made = tower.UserTower(self.scorer, self.side)
        program = tower.exported(made, [each[:_FEW] for each in self.arrays])
        path = self.folder.path / tower.PROGRAM
        tower.save_program(program, path)
        self.folder.rows[tower.PROGRAM] = len(self.side.rows)
        run = tower.run_program(path)
        told, served = parity.program_parity("program", run, self.arrays, self.own)
        self.parity["program"] = told
        at = np.arange(len(served)) % len(self.value)
        items = self.known.encoded(0, min(len(served), len(self.value))).take(at)
        self.parity["scores"] = parity.score_parity(
            self.scorer, self.users, served, items, self.value[at]
        )
        if self.options.onnx:
            self._put_onnx(program)

    def _put_onnx(self, program: torch.export.ExportedProgram) -> None:
        inputs = [each["name"] for each in self.side.inputs()]
        path = self.folder.path / tower.ONNX
        for name in tower.save_onnx(program, path, inputs, self.scorer.objectives):
            self.folder.rows[name] = len(self.side.rows)
        run = tower.run_onnx(path, inputs)
        told, served = parity.program_parity("ONNX", run, self.arrays, self.own)
        same = parity.same_top(self.own[0], served, Searched.of(self.value), "ONNX")
        self.parity["onnx"] = told | {f"same_top_{parity.SAME_TOP}": same}

    def put_index(self) -> None:
        """The index, compared with the exact search as it is read back."""
        faiss, items = faiss_package(), Searched.of(self.value)
        path = str(self.folder.path / INDEX)
        faiss.write_index(build_index(items, self.options.index, "inner_product"), path)
        self.folder.rows[INDEX] = len(self.value)
        users = self.own[0][: self.options.parity.users]
        index = faiss.read_index(path)
        found = parity.index_recall(index, users, items, self.options.parity.at)
        settings = settled(self.options.index, *self.value.shape)
        self.parity["index"] = {"settings": settings, "users": len(users), "recall": found}

    def put_encoder(self) -> None:
        self.folder.write_table(VALUES, self.side.values())
        text = resources.files(serving).joinpath(ENCODER).read_bytes()
        self.folder.write(ENCODER, text, text.count(b"\n"))

    def facts(self, run: dict[str, Any]) -> dict[str, Any]:
        outputs = list(self.scorer.objectives)
        options = self.options.model_dump(mode="json", exclude={"items", "users"})
        return {
            "schema_version": VERSION,
            "kind": KIND,
            "versions": self._versions(),
            **{name: run[name] for name in OF_RUN},
            "config": {name: run[name] for name in OF_CONFIG},
            "export": options,
            "similarity": "inner_product",
            "dim": self.scorer.student.size,
            "items": len(self.value),
            "user": {
                "inputs": self.side.inputs(),
                "outputs": outputs,
                "values": VALUES,
                "fields": self.side.facts(),
            },
            "parity": self.parity,
        }

    def _versions(self) -> dict[str, str]:
        found = {"rankdistill": __version__, "torch": torch.__version__, "pyarrow": pa.__version__}
        if self.options.index is not None:
            found["faiss"] = faiss_package().__version__
        if self.options.onnx:
            found["onnxruntime"] = tower.onnx_packages().__version__
        return found


def export(
    options: ExportOptions, run: Path, out: str | Path, *, notify: Callable[..., None]
) -> dict[str, Any]:
    """Hand the student of a finished run over to serving, in the new folder `out`; its manifest.

    Same run, options, packages and machine give the same bytes. Raises TrainingError E0503,
    E0504, PlaceError E0201, E0202, InputError E0310 to E0315, ConfigError E0102, E0105,
    ResourceError E0404; then there is no `out`.
    """
    _need_packages(options)
    scorer, fields, facts = load_student(run)
    if facts["options"]["mode"] == "incremental":
        raise TrainingError(
            "E0503",
            f"the run in {run} is incremental: it hands over embeddings of user ids alone",
            found=", ".join(each["file"] for each in facts["published"]),
            help=f"give these to the server, or export the full run {facts['start']['full']}",
        )
    return hand_over(scorer, fields, facts, options, run, out, notify=notify)


def hand_over(
    scorer: Scorer,
    fields: Fields,
    facts: dict[str, Any],
    options: ExportOptions,
    run: Path,
    out: str | Path,
    *,
    notify: Callable[..., None],
) -> dict[str, Any]:
    """The same of a student that is loaded already; facts: run.json; run: its folder."""
    _need_packages(options)
    with new_folder(out, run) as folder:
        known = known_items(fields, options.items)
        made = Export(folder, scorer, fields, options, known)
        steps = [made.put_items, made.put_tower, made.put_encoder]
        steps += [made.put_users] if options.users is not None else []
        steps += [made.put_index] if options.index is not None else []
        notify("started", rows=len(steps))
        for step in steps:
            step()
            notify("progress", rows=1)
        return folder.finish(made.facts(facts))


def _need_packages(options: ExportOptions) -> None:
    """Before any work: ResourceError E0404 where one is missing."""
    if options.index is not None:
        faiss_package()
    if options.onnx:
        tower.onnx_packages()
