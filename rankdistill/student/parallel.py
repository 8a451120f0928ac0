"""Several processes that train one student, each on its own batches: `torchrun -m rankdistill`.

Every process keeps the whole student. A step is that of the mean of their losses: gradients of
dense weights are averaged, rows of the embedding table with their gradients go to everybody, so
all of them make the same update. Shapes: K rows of D numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from rankdistill.errors import TrainingError

# A process that dies is seen by its closed connection at once; one that validates is waited for.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Group:
    """rank: of this process among `size`. One that is alone exchanges nothing.

    Everybody has to call the same methods in the same order. TrainingError E0505 where another
    process has ended.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is kept, and speaks."""
        return self.rank == 0

    def mean(self, tensors: Sequence[torch.Tensor]) -> None:
        """Put the mean over the processes in the place of each tensor."""
        if self.size == 1:
            return
        whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
        parts = (self._sum(whole) / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def rows(self, codes: torch.Tensor, grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of all processes, in the order of their ranks; gradients of the mean loss.

        codes: int64 [K]; grads: float32 [K, D]; K may differ.
        """
        if self.size == 1:
            return codes, grads
        return torch.cat(self._all(codes)), torch.cat(self._all(grads)) / self.size

    def told(self, value: Any) -> list[Any]:
        """A JSON value of every process, in the order of their ranks."""
        if self.size == 1:
            return [value]
        text = bytearray(json.dumps(value).encode())
        return [
            json.loads(bytes(each.tolist()))
            for each in self._all(torch.frombuffer(text, dtype=torch.uint8))
        ]

    def _all(self, own: torch.Tensor) -> list[torch.Tensor]:
        """The tensors of all processes, which may differ in length."""
        nums = [int(num) for num in self._gather(torch.tensor([len(own)]))]
        # Every process has to send as much: the shorter ones are filled up.
        filled = own.new_zeros(max(nums), *own.shape[1:])
        filled[: len(own)] = own
        return [each[:num] for each, num in zip(self._gather(filled), nums, strict=True)]

    def _gather(self, own: torch.Tensor) -> list[torch.Tensor]:
        found = [torch.empty_like(own) for _ in range(self.size)]
        with _others_alive():
            distributed.all_gather(found, own)
        return found

    def _sum(self, own: torch.Tensor) -> torch.Tensor:
        with _others_alive():
            distributed.all_reduce(own)
        return own


@contextmanager
def _others_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as fault:
        raise TrainingError(
            "E0505",
            "another process of this training has ended",
            found=str(fault).splitlines()[0][:200],
            help="see what that process said; the same command goes on from the last checkpoint",
        ) from fault


@contextmanager
def group_of_processes(device: torch.device) -> Iterator[Group]:
    """The group that torchrun started this process in, or one of its own; they train on such
    devices. Tensors go by the backend of the device that they are on: gloo, or nccl for CUDA."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Group(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
