"""The user side as a program: raw torch in, a `torch.export` archive and ONNX out.

An archive of `torch.export` may hold pickles, and `torch.export.load` runs them. Ours hold none,
and none is loaded. Shapes: R users, L values of the longest list, D width of a table row, d of a
vector.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rankdistill.errors import ResourceError
from rankdistill.student.models.student import Inputs, Student
from rankdistill.student.scoring import Scorer
from rankdistill.student.serving.user_side import UserSide

PROGRAM, ONNX = "user_tower.pt2", "user_tower.onnx"
_MAX_INSIDE = 2**30  # bytes of weights that an ONNX file itself can hold, with room to spare
# What an archive without a pickle consists of; weights are raw numbers.
_MEMBERS = {
    *("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"),
    *("data/sample_inputs/model.pt", "models/model.json", "archive_format", "archive_version"),
    *("byteorder", ".data/version", ".data/serialization_id", ".data/serialization_id_str"),
}
_WEIGHT = "data/weights/weight_"


class UserTower(nn.Module):
    """Codes, lists of codes and numbers to user vectors, one for each objective."""

    table: torch.Tensor
    student: Student

    def __init__(self, scorer: Scorer, side: UserSide) -> None:
        super().__init__()
        self._num_heads = len(scorer.objectives)
        self._has_codes, self._num_bags = bool(side.single), len(side.bags)
        self.register_buffer("table", scorer.table.weight[torch.from_numpy(side.rows)].clone())
        self.student = copy.deepcopy(scorer.student).eval().requires_grad_(False)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """inputs: as `UserSide.inputs` says; vectors float32 [R, d], the served one first."""
        rest = list(inputs)
        rows = []
        if self._has_codes:
            rows.append(functional.embedding(rest.pop(0), self.table))
        rows += [self._mean(rest.pop(0))[:, None] for _ in range(self._num_bags)]
        num = inputs[0].shape[0]
        found = torch.cat(rows, 1) if rows else self.table.new_zeros(num, 0, self.table.shape[1])
        dense = rest.pop() if rest else found.new_zeros(num, 0)
        users = self.student.users(Inputs(found, dense))
        heads = [self.student.heads(users, number) for number in range(1, self._num_heads)]
        return (users, *heads)

    def _mean(self, codes: torch.Tensor) -> torch.Tensor:
        """The mean of the rows of each list, [R, D]; codes below 0 are padding."""
        is_there = (codes >= 0).to(self.table.dtype)
        rows = functional.embedding(codes.clamp(min=0), self.table) * is_there[:, :, None]
        return rows.sum(1) / is_there.sum(1, keepdim=True)


def exported(tower: UserTower, arrays: Sequence[np.ndarray]) -> torch.export.ExportedProgram:
    """The tower for any number of users; arrays: inputs of a few. It has no more than the user
    side needs, and says nothing of the machine it was made on."""
    inputs = tuple(map(torch.from_numpy, arrays))
    _drop_unused(tower, inputs)
    users = torch.export.Dim("R")
    shapes: list[dict[int, Any]] = [{0: users} for _ in inputs]
    for number in range(tower._num_bags):
        shapes[number + tower._has_codes][1] = torch.export.Dim(f"L{number}")
    program = torch.export.export(tower, inputs, dynamic_shapes=(tuple(shapes),))
    program.example_inputs = None
    for node in program.graph.nodes:
        for name in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(name, None)
    return program


def _drop_unused(tower: UserTower, inputs: tuple[torch.Tensor, ...]) -> None:
    """Take out the parameters that no user vector depends on: the item side's."""
    student = tower.student.requires_grad_(True)
    total = torch.stack([vectors.sum() for vectors in tower(*inputs)]).sum()
    names, values = zip(*student.named_parameters(), strict=True)
    grads = torch.autograd.grad(total, values, allow_unused=True)
    for name, value, grad in zip(names, values, grads, strict=True):
        if grad is None and value.numel():
            owner, _, own = name.rpartition(".")
            student.get_submodule(owner).register_parameter(own, None)
    student.requires_grad_(False)


def save_program(program: torch.export.ExportedProgram, path: Path) -> None:
    # Its own writer ends the process where the disk is full.
    held = io.BytesIO()
    torch.export.save(program, held)
    path.write_bytes(held.getbuffer())


def save_onnx(
    program: torch.export.ExportedProgram,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> list[str]:
    """Write it as ONNX with these names; the names of the files: weights lie beside it where they
    are too large for it. ResourceError E0404 where the packages are missing."""
    onnx_packages()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        made = torch.onnx.export(
            program, input_names=inputs, output_names=outputs, dynamo=True, verbose=False
        )
    assert made is not None
    graph = made.model.graph
    for each in (*graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        each.metadata_props.clear()
    made.model.metadata_props.clear()
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    made.save(path, external_data=size > _MAX_INSIDE)
    return sorted(each.name for each in path.parent.glob(f"{path.name}*"))


def onnx_packages() -> Any:
    """onnxruntime; ResourceError E0404 where what ONNX needs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as fault:
        raise ResourceError(
            "E0404",
            "ONNX needs onnx, onnxscript and onnxruntime",
            found=str(fault),
            help='pip install "rankdistill[onnx]"; without --onnx none is needed',
        ) from fault
    return onnxruntime


Vectors = Callable[..., tuple[np.ndarray, ...]]


def run_program(path: Path) -> Vectors:
    """What the archive computes: the tower's inputs -> vectors. ValueError where it is none of
    ours: it may hold a pickle."""
    refuse_pickles(path)
    module = torch.export.load(path).module()

    def vectors(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.no_grad():
            return tuple(each.numpy() for each in module(*map(torch.from_numpy, arrays)))

    return vectors


def run_onnx(path: Path, inputs: Sequence[str]) -> Vectors:
    """What the ONNX file computes, by onnxruntime."""
    session = onnx_packages().InferenceSession(path, providers=["CPUExecutionProvider"])

    def vectors(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(session.run(None, dict(zip(inputs, arrays, strict=True))))

    return vectors


def refuse_pickles(path: Path) -> None:
    """ValueError where the archive has a member that is no plain number, name or graph."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for each in members:
                _, _, name = each.filename.partition("/")
                is_weight = name.startswith(_WEIGHT) and name[len(_WEIGHT) :].isdigit()
                if not (is_weight or name in _MEMBERS):
                    raise ValueError(f"{each.filename[:80]} is nothing that an export holds")
                if name.endswith(".pt") and each.file_size:
                    raise ValueError(f"{each.filename[:80]} is a pickle")
                if name.endswith("_config.json"):
                    _refuse_pickled(json.load(io.TextIOWrapper(archive.open(each))))
            names = [each.filename.partition("/")[2] for each in members]
            is_whole = {"models/model.json", "archive_format"} <= {*names}
            if len({*names}) < len(names) or not is_whole:
                raise ValueError("it is no program, or has a member twice")
    except (zipfile.BadZipFile, EOFError, RecursionError, NotImplementedError) as fault:
        raise ValueError(str(fault)) from fault


def _refuse_pickled(config: Any) -> None:
    for each in config["config"].values():
        if each["use_pickle"] is not False or not str(each["path_name"]).startswith("weight_"):
            raise ValueError(f"{str(each['path_name'])[:80]} is a pickle")
