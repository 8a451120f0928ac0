"""Several processes that train one student, each on its own batches: `torchrun -m rankdistill`.

Every process keeps the whole student. A step is that of the mean of their losses: gradients of
dense weights are averaged, rows of the embedding table with their gradients go to everybody, so
all of them make the same update. Shapes: K rows of D numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Group:
    """rank: of this process among `size`. One that is alone exchanges nothing."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is kept."""
        return self.rank == 0

    def mean(self, tensors: Iterable[torch.Tensor]) -> None:
        """Put the mean over the processes in the place of each tensor."""
        if self.size == 1:
            return
        for tensor in tensors:
            distributed.all_reduce(tensor)
            tensor /= self.size

    def rows(self, codes: torch.Tensor, grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of all processes, in the order of their ranks; gradients of the mean loss.

        codes: int64 [K]; grads: float32 [K, D]; K may differ.
        """
        if self.size == 1:
            return codes, grads
        sizes = [torch.zeros(1, dtype=torch.int64, device=codes.device) for _ in range(self.size)]
        distributed.all_gather(sizes, torch.tensor([len(codes)], device=codes.device))
        nums = [int(size) for size in sizes]
        return self._gathered(codes, nums), self._gathered(grads, nums) / self.size

    def _gathered(self, own: torch.Tensor, nums: list[int]) -> torch.Tensor:
        # Every process has to send as much: the shorter ones are filled up.
        filled = own.new_zeros(max(nums), *own.shape[1:])
        filled[: len(own)] = own
        found = [torch.empty_like(filled) for _ in nums]
        distributed.all_gather(found, filled)
        return torch.cat([each[:num] for each, num in zip(found, nums, strict=True)])

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def group_of_processes() -> Iterator[Group]:
    """The group that torchrun started this process in (gloo on CPU), or one of its own."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
