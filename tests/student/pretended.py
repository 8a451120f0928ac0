"""A device that is none: its tensors compute on the CPU, and may not meet those of the CPU.

So a training runs as it would on a GPU, stops where an array was not moved, and must end with the
very bytes of one on the CPU. Torch takes a new device only before its first backward pass: the
functions here are for `elsewhere`, a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from rankdistill.student import meeting, plan
from rankdistill.student.folder import read_run
from rankdistill.student.parallel import Group
from tests.student.kit import plan_of, train, train_until

NAME = "pretended"
THERE = f"{NAME}:0"
COPY = torch.ops.aten.copy_.default
MAY_MEET = (COPY, torch.ops.aten._to_copy.default)
# Of what torch.use_deterministic_algorithms refuses on CUDA, that which training might come to use
# (cumsum: of whole numbers it does not).
REFUSED = {"bincount", "cumsum", "histc", "kthvalue", "median", "put_"}


def install() -> None:
    """Make the device known to torch, on one thread as all tests."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME)
    torch.set_num_threads(1)


@contextmanager
def elsewhere() -> Iterator[Callable[..., Any]]:
    """call(function of a module, its arguments) in a process that has the device."""
    with ProcessPoolExecutor(1, get_context("spawn"), install) as process:
        yield lambda *given: process.submit(*given).result(timeout=300)


class There(torch.Tensor):
    """held: what it computes with."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(THERE),
        )
        made.held = held
        return made

    def tolist(self):
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


class Pretending(TorchDispatchMode):
    """Makes tensors there, where that is asked for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func, args, kwargs):
    """The operation, whose tensors have to be there if one is (numbers may be on the CPU)."""
    leaves = pytree.tree_leaves((args, kwargs))
    tensors = [each for each in leaves if isinstance(each, torch.Tensor)]
    own = {id(each.held): each for each in tensors if isinstance(each, There)}
    if own and func not in MAY_MEET:
        for each in tensors:
            assert isinstance(each, There) or not each.dim(), f"{func}: {each.shape} was not moved"
        name = func.overloadpacket.__name__
        is_whole = name == "cumsum" and not args[0].is_floating_point()
        assert name not in REFUSED or is_whole, f"{name} does not give the same bytes twice on CUDA"
    asked = kwargs.get("device")
    is_there = bool(own) if asked is None else torch.device(asked).type == NAME
    args, kwargs = pytree.tree_map_only(There, lambda each: each.held, (args, kwargs))
    if asked is not None:
        kwargs = {**kwargs, "device": "cpu"}
    found = func(*args, **kwargs)
    if not is_there or func is COPY:
        return own.get(id(found), found)
    return pytree.tree_map_only(
        torch.Tensor, lambda each: own[id(each)] if id(each) in own else There(each), found
    )


class Twice(Group):
    """This process, and another that finds the very same."""

    def _gather(self, own):
        return [own, own]

    def _sum(self, own):
        return own * 2


@contextmanager
def trains_on(device: torch.device) -> Iterator[None]:
    """Plans for that device, their batches met as on any device but the CPU."""
    with patch.object(plan, "device_of", lambda asked: device), patch.object(meeting, "CPU", None):
        yield


def runs(config: Path, folder: Path, overrides: list[str], how: str) -> list[Any]:
    """[last checkpoint's sha256, what was published] of a training here, and of one there.

    how: "killed" and gone on with after its third step, "twice" in a group of two.
    """
    found = []
    for device in ("cpu", THERE):
        own = folder / device.replace(":", "-")
        with trains_on(torch.device(device)), Pretending():
            made = plan_of(config, *overrides)
            if how == "killed":
                train_until(made, own, 3)
            train(made, own, group=Twice(0, 2) if how == "twice" else Group())
        newest = max((own / "checkpoints").glob("*.json"))
        found.append([json.loads(newest.read_text())["sha256"], read_run(own).get("published")])
    return found


def faults() -> list[str]:
    """What is said of an array that was not moved, and of sums that CUDA makes in any order."""
    found = []
    with Pretending():
        table = torch.zeros(3, 2, device=THERE)
        for act in (lambda: table.index_select(0, torch.tensor([1, 2])), lambda: table.cumsum(0)):
            try:
                act()
            except AssertionError as fault:
                found.append(str(fault))
    return found
