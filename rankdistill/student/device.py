"""Where a student is trained: the device of a process, and the one way on which arrays get there.

Whatever a step needs of a batch goes through `moved`; all else is made where tensors already are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from rankdistill.errors import ResourceError

CPU = torch.device("cpu")
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
EXACT = (":4096:8", ":16:8")  # with which cuBLAS promises the same sums twice


def device_of(asked: str) -> torch.device:
    """The device of this process; auto: CUDA where torch sees one. Of several processes on a
    machine each has its own (torchrun's LOCAL_RANK). ResourceError E0405 where there is none."""
    num, own = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    if asked == "cpu" or (asked == "auto" and not num):
        return CPU
    if not num:
        raise ResourceError(
            "E0405",
            "train.device is cuda, and torch sees no CUDA device",
            found=f"torch {torch.__version__}",
            help="train.device: cpu, or a build of torch for CUDA and a driver that it fits",
        )
    if own >= num:
        raise ResourceError(
            "E0405",
            f"process {own} of this machine has no CUDA device of its own",
            found=f"{num} CUDA device{'s' * (num > 1)}",
            help=f"torchrun --nproc-per-node {num}, or train.device: cpu; where each process sees "
            "its own device alone, set LOCAL_RANK=0 for each",
        )
    return torch.device("cuda", own)


def moved(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor there; on the CPU it shares its memory.

    From pinned memory the copy to a GPU waits for nothing, and nothing for it but what reads it.
    """
    # What Arrow holds is read-only, which torch warns of: copied.
    found = torch.from_numpy(np.require(values, requirements=["C", "W"]))
    if device.type == "cuda":
        found = found.pin_memory()
    return found.to(device, non_blocking=True)


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """On CUDA: this process on that device, with algorithms alone that give the same bytes twice.
    ResourceError E0405 where the environment asks cuBLAS for others, E0403 where its memory is
    too small."""
    if device.type != "cuda":
        yield
        return
    if os.environ.setdefault(WORKSPACE, EXACT[0]) not in EXACT:
        raise ResourceError(
            "E0405",
            f"{WORKSPACE} lets cuBLAS add up in another order each time",
            found=os.environ[WORKSPACE],
            help=f"unset it, or set it to {' or '.join(EXACT)}",
        )
    torch.cuda.set_device(device)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except torch.cuda.OutOfMemoryError as fault:
        raise ResourceError(
            "E0403",
            f"the memory of {device} ran out",
            found=str(fault).split(". ")[0][:200],
            help="lower train.batch.slots or train.batch.requests, or train.device: cpu",
        ) from fault
    finally:
        torch.use_deterministic_algorithms(before)
