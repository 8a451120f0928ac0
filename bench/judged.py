"""Ranked lists whose relevance is known: of the simulator by its truth, of TREC runs by judgments.

Both are built by rankdistill itself. `relevance.py` draws negatives from them and asks which
of these are relevant after all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rankdistill.build import build
from rankdistill.catalogue.axis import put_laws
from rankdistill.catalogue.history import History, put_history
from rankdistill.catalogue.items import Catalogue
from rankdistill.catalogue.law import Law
from rankdistill.day_side import put_side
from rankdistill.document import read_document
from rankdistill.lists.batch import Lists
from rankdistill.log.cascade import make_requests, sigmoid, truth
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.log.world import MAX_REQUESTS_PER_DAY, make_world
from rankdistill.samples.negative_options import NegativesOptions, weighings
from rankdistill.settings import Settings, settings_of
from rankdistill.store.dataset import DataSet

CONF = Path(__file__).parent.parent / "conf"
CLICK_PROBABILITY = 0.3  # from which on an item is relevant in the simulator
DAYS = 2


@dataclass(frozen=True)
class Judged:
    """lists: of one day; catalogue, history: what their draws look into.

    relevant(request_id [T], item_id [T]) -> float64 [T]: 1 or 0, NaN where nobody knows.
    """

    lists: Lists
    catalogue: Catalogue
    history: History
    relevant: Callable[[pa.Array, pa.Array], np.ndarray]


def simulated(num_requests: int) -> Judged:
    """The last of two simulated days; the first is the catalogue and the history."""
    options = SimulateOptions(num_requests=num_requests, days=DAYS)
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(Path(folder) / "world", options)
        config = {
            "output": f"{folder}/feed",
            "log": {
                "path": str(made.log),
                "stage": {"from": "column", "column": "stage"},
                "columns": {"feedback": ["click"]},
            },
            "catalogue": {"window": "1d"},
            "samples": {"negatives": {}},
        }
        days = [str(day) for day in options.dates]
        built = _built(Settings.model_validate(config), days[-1], days[:-1])

    def relevant(request_id: pa.Array, item_id: pa.Array) -> np.ndarray:
        known = probability(options, request_id, item_id)
        return (known >= CLICK_PROBABILITY).astype(np.float64)

    return replace(built, relevant=relevant)


def probability(options: SimulateOptions, request_id: pa.Array, item_id: pa.Array) -> np.ndarray:
    """The true click probability, once looked at, of any item to a request of the simulator's,
    recalled for it or not; float [T]."""
    world = make_world(options)
    number, item = request_id.to_numpy(), item_id.to_numpy() - 1
    found = np.empty(len(item), dtype=np.float32)
    for day in options.dates:
        rows = np.flatnonzero(number // MAX_REQUESTS_PER_DAY == int(f"{day:%Y%m%d}"))
        for block in np.array_split(rows, len(rows) // 500_000 + 1):
            requests = make_requests(world, options, day, number[block] % MAX_REQUESTS_PER_DAY)
            _, logit = truth(world, options, requests, item[block, None])
            found[block] = sigmoid(logit)[:, 0]
    return found


def trec(data: Path, run: str) -> Judged:
    """A TREC run; relevant: judged 1 or better. Its judgments are the feedback, as a user would
    map them, so `hidden` must take them from the guards before relevant ones can be drawn."""
    folder = data / "cedr-trec-runs" / "wt"
    text = (CONF / "trec_run.yaml").read_text()
    with tempfile.TemporaryDirectory() as out:
        changes = [f"output={out}/feed", f"log.path={folder / run}"]
        changes += [f"log.feedback.path={folder / 'qrels'}", "catalogue={own_day: true}"]
        # Beside the lists, the catalogue alone is wanted.
        changes += ["samples={negatives: {mix: {uniform: 1.0}, history_window: null}}"]
        built = _built(settings_of(read_document(text, "trec_run.yaml"), changes), "run1", ["run1"])
    grades = {}
    for line in (folder / "qrels").read_text().splitlines():
        query, _, doc, grade = line.split()
        grades[query, doc] = float(int(grade) >= 1)

    def relevant(request_id: pa.Array, item_id: pa.Array) -> np.ndarray:
        queries = request_id.cast(pa.string()).to_pylist()
        pairs = zip(queries, item_id.to_pylist(), strict=True)
        return np.array([grades.get(pair, np.nan) for pair in pairs])

    return replace(built, relevant=relevant)


def hidden(judged: Judged) -> Judged:
    """The same, but nobody has responded to anything, as far as the lists tell."""
    with tempfile.TemporaryDirectory() as folder:
        put_history(Path(folder), [], 0)
        nobody = History.load(Path(folder))
    return replace(judged, lists=replace(judged.lists, response={}), history=nobody)


def _built(settings: Settings, dt: str, items: list[str]) -> Judged:
    """What a build holds of the day `dt`, with the item counts of the days `items`."""
    build(settings)
    data_set = DataSet.open(settings.output)
    batches = list(data_set.read("lists", dt=dt))
    table = pa.Table.from_batches(batches).combine_chunks()
    feedback = ("click",) if "click" in table.schema.names else ("judged",)
    lists = Lists.from_rows(table.to_batches()[0], "rank", feedback, dict.fromkeys(feedback, 1.0))
    # Requests stand in parts as tasks finish; resamples go by their place.
    lists = lists.take(pc.sort_indices(lists.requests.column("request_id")).to_numpy())
    schema = data_set.schema("items")
    counts = pa.schema([f for f in schema if f.name == "item_id" or f.name.startswith("num_")])
    files = [f for day in items for f in data_set.files("items", dt=day)]
    current = data_set.current()
    assert current is not None
    guarded = "responses" in current.tables
    responses = data_set.files("responses") if guarded else []
    with tempfile.TemporaryDirectory() as folder:
        side = put_side(Path(folder), files, counts, responses, {}, settings.seed)
        made = side.catalogue(), side.history()
    return Judged(lists, *made, lambda request_id, item_id: np.zeros(0))


def laws_of(options: NegativesOptions, catalogue: Catalogue, seed: int) -> dict[str, Law]:
    """The laws of the catalogue that the options draw by."""
    wanted = weighings(options)
    with tempfile.TemporaryDirectory() as folder:
        put_laws(Path(folder), catalogue, seed, wanted)
        return {name: Law.load(Path(folder), name) for name in wanted}
