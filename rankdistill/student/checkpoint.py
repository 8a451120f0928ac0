"""Checkpoints: tensors as safetensors, all else as JSON beside them with the tensors' hash.

The JSON is written last, so a checkpoint without one was never finished. Nothing that is read
back is a pickle, and no byte is believed before its hash has been compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rankdistill.disk import number_of
from rankdistill.errors import TrainingError
from rankdistill.private import FILE_MODE
from rankdistill.store.files import make_dirs, replace_text, sha256

FOLDER = "checkpoints"
VERSION = 1
MAX_JSON = 64 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """tensors: by name; facts: JSON values, `run` (the hash of config and data) among them."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


def save(folder: Path, name: str, checkpoint: Checkpoint) -> None:
    """Write NAME.safetensors, then NAME.json; whole or not at all."""
    make_dirs(folder.parent, folder.name)
    target, half = folder / f"{name}.safetensors", folder / f"{name}.safetensors.half"
    tensors = {
        key: tensor.detach().cpu().contiguous() for key, tensor in checkpoint.tensors.items()
    }
    half.unlink(missing_ok=True)
    try:
        save_file(tensors, half)
    except SafetensorError as fault:
        half.unlink(missing_ok=True)
        raise _of_the_system(fault, half) from fault
    # It writes files that the owner alone may read; those who may see the folder may, too.
    half.chmod(FILE_MODE & folder.stat().st_mode)
    half.replace(target)
    facts = {"schema_version": VERSION, "sha256": sha256(target), **checkpoint.facts}
    replace_text(folder / f"{name}.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _of_the_system(fault: SafetensorError, place: Path) -> Exception:
    """The system's error that safetensors tells in words; itself where it tells of none."""
    number = number_of(fault)
    return OSError(number, os.strerror(number), str(place)) if number is not None else fault


def load(folder: Path, name: str) -> Checkpoint:
    """One checkpoint. TrainingError E0503 where it is damaged or not one of ours."""
    place = folder / f"{name}.json"
    try:
        if place.stat().st_size > MAX_JSON:
            raise ValueError("more than 64 MB of JSON")
        facts = json.loads(place.read_text(encoding="utf-8"))
        if not isinstance(facts, dict):
            raise ValueError("no JSON object")
        if (found := facts.get("schema_version")) != VERSION:
            raise ValueError(f"schema_version {found!s:.40}, and this version knows {VERSION}")
        tensors = folder / f"{name}.safetensors"
        if (found := sha256(tensors)) != facts["sha256"]:
            raise ValueError(f"sha256 {found[:12]}... instead of {str(facts['sha256'])[:12]}...")
        return Checkpoint(load_file(tensors), facts)
    except (OSError, ValueError, KeyError, RecursionError, SafetensorError) as fault:
        raise TrainingError(
            "E0503",
            f"the checkpoint {folder / name} cannot be read",
            found=f"{type(fault).__name__}: {fault}",
            help="the same train command goes on from the newest one that can be read; where "
            "there is none, train anew with another --out",
        ) from fault


def names(folder: Path) -> list[str]:
    """The finished ones, newest first."""
    return sorted((path.stem for path in folder.glob("step-*.json")), reverse=True)


def newest(folder: Path, run: str, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest one that can be read; None where there is none at all.

    say: told of damaged ones. TrainingError E0503 where all are damaged, or where the newest is
    of another config or data than `run`.
    """
    fault = None
    there = names(folder)
    for name in there:
        try:
            found = load(folder, name)
        except TrainingError as error:
            fault = error
            rest = "" if name == there[-1] else "; the one before it is tried"
            say(f"warning: {error.message} ({error.found}){rest}")
            continue
        if found.facts.get("run") != run:
            raise other_run(folder, hashes(str(found.facts.get("run")), run))
        return found
    if fault is not None:
        raise TrainingError(
            "E0503",
            f"no checkpoint in {folder} can be read",
            found=f"{len(there)} damaged, the last one tried: {fault.found}",
            help="train anew with another --out",
        ) from fault
    return None


def hashes(there: str, wanted: str) -> str:
    return f"{there[:16]} there, {wanted[:16]} asked for"


def other_run(folder: Path, found: str) -> TrainingError:
    """found: what differs."""
    return TrainingError(
        "E0503",
        f"{folder} holds a run of another config or other data",
        found=found,
        help="give another --out, or the config, build and device that it was begun with",
    )


def prune(folder: Path, keep: int, best: str | None) -> None:
    """Remove all but the newest `keep` and the best one; the JSON goes first."""
    for name in _old(folder, keep):
        if name != best:
            (folder / f"{name}.json").unlink(missing_ok=True)
            (folder / f"{name}.safetensors").unlink(missing_ok=True)


def _old(folder: Path, keep: int) -> Iterator[str]:
    yield from names(folder)[keep:]


def step_name(step: int) -> str:
    return f"step-{step:012d}"
