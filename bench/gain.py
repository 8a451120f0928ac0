"""`python -m bench.gain`: does a student that learns the fine ranker's order gain by it?

The table of docs/gain.md: students that learn feedback alone beside students that learn the
teacher's order or scores, alone and with feedback; each tuned on validation with the same
number of tries, then trained with several seeds. Worlds: the simulated cascade, the cascade out
of ml-100k (judged by held-out ratings, too), and the latter with the teacher's order shuffled.
Intervals: 95 %, requests or users drawn anew, of the mean over seeds. Shapes: Q requests or
users, c columns.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bench import movielens
from rankdistill.build import build
from rankdistill.hashing import xxh64
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.settings import Settings, read_settings
from rankdistill.student import run as runs
from rankdistill.student.evaluation.collected import Collected
from rankdistill.student.evaluation.contestant import Contestant
from rankdistill.student.evaluation.intervals import Quantity, interval, replicated, value, verdict
from rankdistill.student.evaluation.judged import Judged
from rankdistill.student.evaluation.options import BootstrapOptions, EvaluateOptions
from rankdistill.student.train import Progress
from rankdistill.training import plan_of

FEEDBACK = "feedback"
LOSSES = {
    "pointwise": "{kind: bce, on: pointwise}",
    "pairwise": "{kind: bpr}",
    "listwise": "{kind: list_mle}",
    "logits": "{kind: list_kd}",
}
CONTESTANTS = {
    FEEDBACK: "[{kind: bce}]",
    **{name: f"[{loss}]" for name, loss in LOSSES.items()},
    **{f"{FEEDBACK} + {name}": f"[{{kind: bce}}, {loss}]" for name, loss in LOSSES.items()},
}
# Points whose negatives were ranked, too, so that they say nothing of what the pre-ranker dropped.
OF_RANKED = "pointwise of ranked"
CONTESTANTS[OF_RANKED] = CONTESTANTS["pointwise"]
RANKED_NEGATIVES = "samples.pointwise.negatives={kind: bands, bands: [{from_rank: 11, num: 30}]}"
MODELS = {
    "fm": "{kind: fm, dim: 16}",
    "two_tower": "{kind: two_tower, dim: 16, towers: [32, 16]}",
}
TRIES = tuple(product((0.03, 0.1, 0.3), (0.0, 0.03)))  # lr, l2
TEACHER = ("opa", "ndcg@10", "recall@50@10")
RESPONSES = ("auc", "response_recall@20")
HELD_OUT = ("held-out AUC", "held-out recall@20")

CONFIG = """
output: {folder}/feed
student: prerank
log:
  path: {folder}/log
  columns: {{feedback: [click], request: [{request}], item: [{item}]}}
  stage: {{from: column, column: stage}}
  response: {{click: 1}}
  score_kind: logit
split: {{train_until: "{valid}T00:00:00Z", valid_until: "{test}T00:00:00Z"}}
samples:
  pointwise: {{top_k: 10, negatives: {{kind: ratio, ratio: 3}}, gap: keep}}
  pairwise: {{top_k: null, strategy: {{kind: mean, num_pair_per_sample: 4}}}}
  listwise: {{grade: {{kind: log_rank}}, max_length: 60}}
quality: {{measure: false}}
train:
  epochs: 20
  validation: {{patience: 3}}
  batch: {{requests: 64}}
  fields:
    user: [{{kind: id, column: user_id}}{user_fields}]
    item: [{{kind: id, column: item_id}}{item_fields}]
"""


@dataclass(frozen=True)
class World:
    """A data set that is built. held_out: a folder with known.parquet and held_out.parquet, or
    None."""

    name: str
    config: Path
    held_out: Path | None = None

    def settings(self, *overrides: str) -> Settings:
        return read_settings(self.config, overrides)


def made(name: str, folder: Path, held_out: Path | None, **facts: Any) -> World:
    """Build the log in folder/log; facts: request, item columns, valid and test days."""
    for side in ("request", "item"):
        fields = [f", {{kind: category, column: {name}}}" for name in facts[side]]
        facts[f"{'user' if side == 'request' else 'item'}_fields"] = "".join(fields)
        facts[side] = ", ".join(facts[side])
    config = folder / "gain.yaml"
    config.write_text(CONFIG.format(folder=folder, **facts), encoding="utf-8")
    build(read_settings(config))
    return World(name, config, held_out)


def simulated(folder: Path, num_requests: int) -> World:
    options = SimulateOptions(
        num_requests=num_requests, days=5, num_users=1000, num_items=2000, num_candidates=100
    )
    simulate(folder, options)
    return made(
        "simulated",
        folder,
        None,
        request=["scene"],
        item=["category"],
        valid="2026-11-04",
        test="2026-11-05",
    )


def ratings(folder: Path, data: Path, *, is_null: bool) -> World:
    found = movielens.read_ratings(data)
    log = movielens.play(found, movielens.Teacher(found, 1), 1, is_null=is_null)
    movielens.write(found, log, folder)
    return made(
        "ml-100k, shuffled" if is_null else "ml-100k",
        folder,
        folder,
        request=["age", "gender", "occupation"],
        item=["year"],
        valid=movielens.DAYS[3],
        test=movielens.DAYS[4],
    )


def trained(world: World, folder: Path, *overrides: str) -> Progress:
    """A student in `folder`, where it is not there yet."""
    chosen = world.settings(*overrides)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return runs.train(plan_of(chosen), folder, lambda *_, **__: None, lambda _: None)


def asked(contestant: str, model: str, lr: float, l2: float, seed: int) -> list[str]:
    # Each is chosen by what it is to be good at.
    measure = "gauc" if contestant == FEEDBACK else "opa"
    return [
        f"train.objectives={{main: {CONTESTANTS[contestant]}}}",
        f"train.model={MODELS[model]}",
        f"train.optimizer.lr={lr}",
        f"train.optimizer.l2={l2}",
        f"train.validation.measure={measure}",
        f"seed={seed}",
        "train.threads=1",
        *([RANKED_NEGATIVES] if contestant == OF_RANKED else []),
    ]


def tuned(world: World, folder: Path, contestant: str, model: str) -> tuple[float, float]:
    """The try that validation likes best."""
    found = {}
    for lr, l2 in TRIES:
        place = folder / f"{contestant.replace(' ', '')}-{model}-{lr}-{l2}"
        overrides = asked(contestant, model, lr, l2, 1)
        done = trained(world, place, *overrides)
        measure = world.settings(*overrides).train.validation.measure
        if done.best is not None:
            found[lr, l2] = done.history[done.best]["validation"][measure]
    return max(found, key=lambda key: found[key])


def judged(world: World, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(measure -> columns of the test requests [Q, c], their keys)."""
    student = Contestant.load(folder)
    plan = plan_of(world.settings(*json.loads((folder / "asked.json").read_text())))
    source, options = plan.source("test"), EvaluateOptions()
    found, keys = Collected([*TEACHER, *RESPONSES]), []
    for piece in source.pieces:
        lists = source.read([piece])
        chunk = student.chunk(lists, source, options)
        found.add(Judged(chunk.offsets, lists.request_key, student.score(chunk), chunk.columns))
        keys.append(lists.request_key)
    return {name: found.columns(name) for name in found.names}, np.concatenate(keys)


def by_ratings(world: World, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The same of users, by the ratings that nobody has seen: the AUC of liked before others
    among them, and the share of liked ones in the top 20 of all items not rated before."""
    assert world.held_out is not None
    student = Contestant.load(folder)
    plan = plan_of(world.settings(*json.loads((folder / "asked.json").read_text())))
    source = plan.source()
    ids = np.unique(pq.read_table(world.held_out / "held_out.parquet").column("item_id").to_numpy())
    known, rest = (
        pq.read_table(world.held_out / f"{name}.parquet") for name in ("known", "held_out")
    )
    ids = np.union1d(known.column("item_id").to_numpy(), ids)
    with torch.no_grad():
        encoded = student.fields.items_of(pa.array(ids))
        items = student.scorer.student.items(student.scorer.inputs(encoded)).numpy()
        lists = source.read(source.pieces)
        users, first = np.unique(lists.requests.column("user_id").to_numpy(), return_index=True)
        own = student.fields.encode(lists.take(first), np.zeros(0, np.int64))[0]
        vectors = student.scorer.student.users(student.scorer.inputs(own)).numpy()
    scores = vectors @ items.T
    seen = np.zeros(scores.shape, dtype=bool)
    at = np.searchsorted(users, known.column("user_id")), np.searchsorted(ids, known["item_id"])
    seen[at] = True
    user = np.searchsorted(users, rest.column("user_id"))
    item = np.searchsorted(ids, rest.column("item_id"))
    liked = rest.column("rating").to_numpy() >= movielens.LIKED
    auc, recall = np.zeros((len(users), 2)), np.zeros((len(users), 2))
    for number in np.unique(user).tolist():
        own = user == number
        good, bad = (scores[number, item[own & side]] for side in (liked, ~liked))
        if len(good) and len(bad):
            above = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
            auc[number] = above, 1
        if len(good):
            free = np.where(seen[number], -np.inf, scores[number])
            top = np.argpartition(-free, 20)[:20]
            recall[number] = np.isin(item[own & liked], top).mean(), 1
    key = xxh64(pa.array(users))
    return dict(zip(HELD_OUT, (auc, recall), strict=True)), key


def summed(found: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Columns of several seeds together."""
    return {name: sum(each[name] for each in found) for name in found[0]}


def play(world: World, folder: Path, seeds: int, models: list[str]) -> None:
    """Print the table of a world, a line as soon as it is known."""
    reference: dict[str, np.ndarray] = {}
    names = [*TEACHER, *RESPONSES, *(HELD_OUT if world.held_out else ())]
    print(f"\n### {world.name}\n")
    print("| student | learns | lr, l2 | " + " | ".join(names) + " |")
    print("|---|---|---|" + "---|" * len(names))
    for model, contestant in product(models, CONTESTANTS):
        lr, l2 = tuned(world, folder / "tries", contestant, model)
        of_requests, of_users = [], []
        for seed in range(1, seeds + 1):
            place = folder / "runs" / f"{contestant.replace(' ', '')}-{model}-{seed}"
            overrides = asked(contestant, model, lr, l2, seed)
            trained(world, place, *overrides)
            (place / "asked.json").write_text(json.dumps(overrides))
            columns, request_key = judged(world, place)
            of_requests.append(columns)
            if world.held_out:
                more, user_key = by_ratings(world, place)
                of_users.append(more)
        both = [(summed(of_requests), request_key)]
        both += [(summed(of_users), user_key)] if of_users else []
        cells = []
        for columns, key in both:
            for name, own in columns.items():
                if contestant == FEEDBACK:
                    reference[name] = own
                cells.append(cell(own, reference[name], key))
        print(
            f"| {model} | {contestant} | {lr:g}, {l2:g} | " + " | ".join(cells) + " |", flush=True
        )


def cell(own: np.ndarray, other: np.ndarray, key: np.ndarray) -> str:
    """The value with its interval; + or -: better or worse than feedback alone."""
    pair = [Quantity(own), Quantity(other)]
    one, two = replicated(pair, {"request": key}, BootstrapOptions(), 1)
    low, high = interval(one, 0.95)
    mark = {"better": " +", "worse": " -", "not told apart": ""}[
        verdict(*interval(one - two, 0.95))
    ]
    return f"{float(value(own.sum(0))):.3f} ({low:.3f} to {high:.3f}){mark}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder for logs and runs")
    parser.add_argument("--worlds", default="simulated,ratings,null")
    parser.add_argument("--models", default="fm,two_tower")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000, help="simulated, a day")
    given = parser.parse_args()
    data = Path(os.environ.get("RANKDISTILL_REAL_DATA", "")) / "ml-100k"
    for name in given.worlds.split(","):
        folder = given.out / name
        folder.mkdir(parents=True, exist_ok=True)
        if name == "simulated":
            world = simulated(folder, given.requests)
        elif data.is_dir():
            world = ratings(folder, data, is_null=name == "null")
        else:
            print(f"{name}: skipped, RANKDISTILL_REAL_DATA holds no ml-100k")
            continue
        play(world, folder, given.seeds, given.models.split(","))


if __name__ == "__main__":
    main()
