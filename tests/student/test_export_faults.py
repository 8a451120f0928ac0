"""Nothing in an export or a run is believed before its hash, and nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import pickle
import resource
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from rankdistill.errors import TrainingError
from rankdistill.student import checkpoint as checkpoints
from rankdistill.student.checkpoint import Checkpoint
from rankdistill.student.fields import kept
from rankdistill.student.fields.kept import load_fields, save_fields
from rankdistill.student.serving import opened
from rankdistill.student.serving.opened import open_export
from tests.student.export_kit import MODELS, handed_over, plain_fields, scorer_of

MAX_GROWTH_KB = 200 * 1024


class Evil:
    """Whoever unpickles it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self):
        return (open, (self.file, "w"))


def torch_archive(evil: Evil) -> bytes:
    """What torch.load reads."""
    sink = io.BytesIO()
    torch.save({"weight": torch.ones(3), "evil": evil}, sink)
    return sink.getvalue()


def members(**named: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in named.items():
            archive.writestr(name, data)
    return sink.getvalue()


FOREIGN = {
    "pickle": lambda evil, own: pickle.dumps(evil),
    "torch archive": lambda evil, own: torch_archive(evil),
    "zip": lambda evil, own: members(a=b"1"),
    "header of 2^60": lambda evil, own: struct.pack("<Q", 2**60) + b"{}",
    "cut": lambda evil, own: own[: len(own) // 2],
    "nothing": lambda evil, own: b"",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "out"
    fields = plain_fields(20, 50)
    index = {"kind": "flat"} if importlib.util.find_spec("faiss") else None
    handed_over(scorer_of(MODELS[1], fields), fields, out, users="known", index=index)
    return out


READERS = {
    "items.parquet": lambda found: found.items(),
    "users.parquet": lambda found: found.users(),
    "items.index": lambda found: found.index(),
    "user_tower.pt2": lambda found: found.user_tower(),
}


def forge(folder: Path, name: str, data: bytes) -> None:
    """Another file, and a manifest that vouches for it."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    for each in manifest["files"]:
        if each["name"] == name:
            each.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_an_error_and_runs_no_code_even_if_the_manifest_vouches_for_it(
    made, tmp_path, name, kind
):
    if name == "items.index":
        pytest.importorskip("faiss", reason="needs the extra ann")
    folder, evil = tmp_path / "out", Evil(tmp_path / "owned")
    shutil.copytree(made, folder)
    data = FOREIGN[kind](evil, (folder / name).read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / name).write_bytes(data)
    with pytest.raises(TrainingError, match=r"cannot be read") as fault:
        open_export(folder)
    assert fault.value.code == "E0504" and name in fault.value.message
    forge(folder, name, data)
    with pytest.raises(TrainingError, match=r"cannot be read"):
        READERS[name](open_export(folder))
    assert not (tmp_path / "owned").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KB


def rezipped(path: Path, change) -> bytes:
    """The archive with `change(name, data)` for each member's data; None leaves it out."""
    sink = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(sink, "w") as new:
        for each in old.infolist():
            data = change(each.filename, old.read(each))
            if data is not None:
                new.writestr(each.filename, data)
    return sink.getvalue()


@pytest.mark.parametrize("member", ["sample_inputs/model.pt", "weights_config", "more"])
def test_a_program_that_smuggles_a_pickle_in_is_never_loaded(made, tmp_path, member):
    folder, evil = tmp_path / "out", Evil(tmp_path / "owned")
    shutil.copytree(made, folder)
    path = folder / "user_tower.pt2"

    def change(name: str, data: bytes) -> bytes:
        if member == "sample_inputs/model.pt" and name.endswith(member):
            return torch_archive(evil)
        if member == "weights_config" and name.endswith("weights/model_weights_config.json"):
            return data.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        if member == "weights_config" and "/weights/weight_" in name:
            return torch_archive(evil)
        return data

    data = rezipped(path, change)
    if member == "more":
        sink = io.BytesIO(data)
        with zipfile.ZipFile(sink, "a") as archive:
            archive.writestr("user_tower/data/constants/opaque_obj_0", pickle.dumps(evil))
        data = sink.getvalue()
    forge(folder, path.name, data)
    with pytest.raises(TrainingError, match=r"user_tower.pt2 of an export cannot be read") as fault:
        open_export(folder).user_tower()
    assert "pickle" in fault.value.found or "nothing that an export holds" in fault.value.found
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema_version": 2}, "version 2"),
        ({"kind": "other"}, "no export"),
        ({"files": [{"name": "../run.json", "bytes": 1, "sha256": ""}]}, "no name of a file"),
        ({"files": None}, "TypeError"),
    ],
)
def test_a_manifest_that_is_not_ours_is_told(made, tmp_path, change, told):
    shutil.copytree(made, tmp_path / "out")
    place = tmp_path / "out" / "manifest.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    with pytest.raises(TrainingError) as fault:
        open_export(tmp_path / "out")
    assert fault.value.code == "E0504" and told in fault.value.found


def test_a_bit_that_flips_anywhere_is_found(made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    for file in sorted((tmp_path / "out").iterdir()):
        if file.name == "manifest.json":
            continue
        own = file.read_bytes()
        at = len(own) // 2
        file.write_bytes(own[:at] + bytes([own[at] ^ 1]) + own[at + 1 :])
        with pytest.raises(TrainingError, match=file.name):
            open_export(tmp_path / "out")
        file.write_bytes(own)
    open_export(tmp_path / "out").items()


def test_what_was_not_exported_is_told_with_what_was(tmp_path):
    fields = plain_fields(5, 5)
    handed_over(scorer_of(MODELS[0], fields), fields, tmp_path / "out")
    for read in (READERS["users.parquet"], READERS["items.index"]):
        with pytest.raises(TrainingError, match=r"has no") as fault:
            read(open_export(tmp_path / "out"))
        assert "items.parquet" in fault.value.found


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_checkpoint_that_is_something_else_is_refused_whatever_its_hash(tmp_path, kind):
    checkpoints.save(tmp_path, "step-1", Checkpoint({"w": torch.ones(1000)}, {"run": "r"}))
    evil, file = Evil(tmp_path / "owned"), tmp_path / "step-1.safetensors"
    data = FOREIGN[kind](evil, file.read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file.write_bytes(data)
    with pytest.raises(TrainingError, match=r"cannot be read"):
        checkpoints.load(tmp_path, "step-1")
    facts = json.loads((tmp_path / "step-1.json").read_text())
    facts["sha256"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "step-1.json").write_text(json.dumps(facts))
    with pytest.raises(TrainingError, match=r"cannot be read") as fault:
        checkpoints.load(tmp_path, "step-1")
    assert fault.value.code == "E0503" and not (tmp_path / "owned").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KB


PARSERS = (
    (checkpoints, "load_file"),
    (kept.pq, "read_table"),
    (opened, "run_program"),
    (opened, "faiss_package"),
)


@pytest.mark.parametrize("what", ["checkpoint", "vocabulary", "export"])
def test_nothing_is_parsed_before_its_hash_has_been_compared(made, tmp_path, monkeypatch, what):
    fields = plain_fields(5, 5)
    facts = save_fields(tmp_path, fields)
    checkpoints.save(tmp_path, "step-1", Checkpoint({"w": torch.ones(9)}, {"run": "r"}))
    shutil.copytree(made, tmp_path / "out")
    readers = {
        "checkpoint": ("step-1.safetensors", lambda: checkpoints.load(tmp_path, "step-1")),
        "vocabulary": ("fields/item.item_id.parquet", lambda: load_fields(tmp_path, facts)),
        "export": ("out/items.parquet", lambda: open_export(tmp_path / "out").items()),
    }
    name, read = readers[what]
    read()
    for owner, parser in PARSERS:
        monkeypatch.setattr(owner, parser, lambda *given, **more: pytest.fail("it was parsed"))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"x")
    with pytest.raises(TrainingError, match="cannot be read"):
        read()
