"""The graph tables of EasyRec-style samplers: literal rows in, literal lines out.

GraphLearn, which reads them, is not on the registry; the lines are read back as EasyRec's own
in-memory sampler does (NegativeSamplerInMemory): strip, split at tabs, split attributes at ":".
"""

from __future__ import annotations

import pytest
from export_kit import TEXT, data_set, export, pairs

from rankdistill.errors import InputError

DRAWN = [
    {"request_id": 1, "pos_item_id": 10, "item_id": 20},
    {"request_id": 1, "pos_item_id": 10, "item_id": 30, "source": "popular"},
    {"request_id": 2, "pos_item_id": 10, "item_id": 20},
    {"request_id": 3, "pos_item_id": None, "item_id": 40, "source": "mined"},
    {"request_id": 4, "pos_item_id": 50, "item_id": 20, "split": "test"},
    {"request_id": 5, "pos_item_id": 50, "item_id": 20, "user_id": None},
]


def text(out, name: str) -> str:
    return (out / f"{name}.tsv").read_text()


def test_edges_are_hard_negatives_of_training_weighed_by_requests(tmp_path):
    data = data_set(tmp_path / "data", {"negatives": DRAWN})
    made = export(data, out := tmp_path / "out", "easyrec")
    edges = "userid:int64\titemid:int64\tweight:float\n"
    assert text(out, "hard_neg_edge") == f"{edges}7\t20\t2\n7\t40\t1\n"
    assert text(out, "pos_edge") == f"{edges}7\t10\t2\n"
    assert text(out, "user") == "id:int64\tweight:float\n7\t1\n"
    assert made["left_out"] == {"easy": 1, "held_out": 1, "no_user": 1}


def test_items_are_all_that_were_seen_weighed_by_positives_to_the_three_quarters(tmp_path):
    items = [{"item_id": item, "num_positive": 0} for item in (10, 60)]
    data = data_set(tmp_path / "data", {"negatives": DRAWN, "items": items})
    export(data, tmp_path / "out", "easyrec")
    header, *lines = text(tmp_path / "out", "item").splitlines()
    assert header == "id:int64\tweight:float\tattrs:string"
    rows = [line.strip().split("\t") for line in lines]
    assert [[row[0], row[2]] for row in rows] == [[str(i)] * 2 for i in (10, 20, 30, 40, 50, 60)]
    weights = [float(row[1]) for row in rows]
    assert weights == pytest.approx([3**0.75, 1, 1, 1, 1, 1])


def test_a_pair_that_many_requests_drew_is_one_edge(tmp_path):
    rows = pairs(1, 10, 20, 30) + pairs(1, 11, 20) + pairs(2, 10, 20)
    data = data_set(tmp_path / "data", {"pairwise": rows})
    export(data, out := tmp_path / "out", "easyrec")
    assert text(out, "hard_neg_edge").splitlines()[1:] == ["7\t20\t2", "7\t30\t1"]
    assert text(out, "pos_edge").splitlines()[1:] == ["7\t10\t2", "7\t11\t1"]


def test_string_ids_are_told_to_be_strings(tmp_path):
    rows = pairs("r\n", "007", "b c", user_id="u'\"")
    data = data_set(tmp_path / "data", {"pairwise": rows}, ids=TEXT)
    made = export(data, out := tmp_path / "out", "easyrec")
    expected = "userid:string\titemid:string\tweight:float\nu'\"\tb c\t1\n"
    assert text(out, "hard_neg_edge") == expected
    assert "USE_HASH_NODE_ID" in made["notes"][0]


@pytest.mark.parametrize(
    "bad", ["a\tb", "a\nb", "a\r", "a:b", "", " a", "a ", "a\x01b", "\u00a0a", "a\x85b"]
)
@pytest.mark.parametrize("place", ["user_id", "pos_item_id", "neg_item_id"])
def test_an_id_that_would_tear_a_line_is_refused(tmp_path, bad, place):
    row = {"request_id": "r", "user_id": "u", "pos_item_id": "p", "neg_item_id": "n"}
    data = data_set(tmp_path / "data", {"pairwise": [row | {place: bad}]}, ids=TEXT)
    with pytest.raises(InputError, match="cannot be written") as told:
        export(data, tmp_path / "out", "easyrec")
    assert told.value.found == repr(bad)
    assert not (tmp_path / "out").exists()


def test_an_empty_table_makes_no_file(tmp_path):
    data = data_set(tmp_path / "data", {"pairwise": []})
    assert export(data, tmp_path / "out", "easyrec")["files"] == []
