"""The whole configuration: presets underneath, the user's keys on top."""

import pytest

from rankdistill.document import read_document
from rankdistill.settings import Settings, settings_of
from tests.told import told as refused

LOG = "output: out\nlog: {path: x}\n"
CHECKED = "log.verify_checksums=true"


def read(text, *overrides):
    return settings_of(read_document(text, "feed.yaml"), list(overrides))


def test_the_engine_is_duckdb_unless_it_is_named():
    assert read(LOG, "engine.threads=1").engine.threads == 1
    assert read(LOG).engine.kind == "duckdb"
    assert read(LOG, "engine.kind=spark").engine.kind == "spark"


def test_a_key_of_the_user_goes_before_the_presets_and_its_siblings_stay():
    settings = read("output: out\nlog: {preset: recflow, path: x, columns: {rank: my_rank}}\n")
    assert settings.log.columns.rank.column == "my_rank"
    assert settings.log.columns.item_id.column == "video_id"


def test_a_rule_of_another_kind_replaces_the_presets_rule_whole():
    text = "output: out\nlog: {preset: recflow, path: x, stage: {from: column, column: s}}\n"
    assert read(text).log.stage.column == "s"


def test_places_and_engine_do_not_count_for_the_hash_and_samples_do():
    base = read(LOG).hash()
    for same in (
        "output=elsewhere",
        "log.path=y",
        "engine.threads=3",
        "log.on_corrupt=skip",
        CHECKED,
    ):
        assert read(LOG, same).hash() == base
    for other in ("seed=1", "student=prerank", "samples.pointwise.top_k=3", "log.rank_base=0"):
        assert read(LOG, other).hash() != base


@pytest.mark.parametrize(
    "key", ["samples.negatives.history_window", "catalogue.window", "split.gap"]
)
def test_a_duration_without_a_unit_is_met_with_one_in_days(key):
    (text,) = refused(read, LOG, f"{key}=7")
    assert f'{key} must be a duration such as 30d or 6h | 7 | did you mean "7d"?' in text


BLOCKS = ("log", "dt", "split", "samples", "quality", "train", "evaluate")


@pytest.mark.fault("42", "a key of the config under another name, each of the main blocks", times=1)
@pytest.mark.parametrize("block", ["", *BLOCKS])
def test_a_key_that_is_unknown_is_met_with_the_one_it_is_most_like(block, trial, told):
    model = Settings.model_fields[block].annotation if block else Settings
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    wrong = {f"{name[:2]}{name[3:]}": name for name in fields if len(name) > 3}
    told.cases = len(wrong)
    answers = refused(read, LOG, *(f"{block and block + '.'}{old}=1" for old in wrong))
    for old, name in wrong.items():
        (answer,) = (each for each in answers if f'E0103 unknown key "{old}"' in each)
        assert f'did you mean "{name}"?' in answer
