"""The verb `demo`: a simulated log, its samples, their report, and two students, in a minute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from rankdistill import actions, evaluating, reporting, training
from rankdistill import build as builder
from rankdistill.contract import resource
from rankdistill.document import read_document
from rankdistill.errors import ResourceError
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.quality.text_table import text_table
from rankdistill.settings import settings_of
from rankdistill.store.dataset import DataSet
from rankdistill.store.outputs import write
from rankdistill.summary import sample_shape
from rankdistill.verbs import Run

CONFIG = "demo.yaml"
FEEDBACK_ONLY = "train.objectives={main: [{kind: bce}]}"
SHOWN = ("opa", "ndcg@10", "recall@50@10", "auc", "gauc")


def demo(run: Run, out: str) -> None:
    folder = Path(out)
    log, feed, config = folder / "simulated", folder / "feed", folder / CONFIG
    run.say(f"1. simulate -> {log}")
    simulate(log, SimulateOptions(num_requests=2000, days=2))
    run.say(f"2. build    -> {feed}")
    text = resource("conf", CONFIG).read_text(encoding="utf-8")
    places = (f"log.path={log / 'log'}", f"output={feed}")
    chosen = settings_of(read_document(text, f"conf/{CONFIG}"), places)
    run.data_set = chosen.output
    made = builder.build(chosen, notify=run.notify)
    actions.tell(run, chosen, made)
    if not run.as_json:
        run.show("\n" + sample_shape(DataSet.open(feed)), None)
    for name, place in (("logs", log / "log"), ("out/demo", feed)):
        text = text.replace(f": {name}  ", f": {place}  ", 1)
    write(config, text)
    run.say(f"3. report   -> {folder / 'report'}")
    asked = reporting.Asked(str(config), (), str(feed), None, (), None)
    _quietly(run, lambda quiet: reporting.report(quiet, asked, str(folder / "report"), False))
    _students(run, folder, config)
    request = next(DataSet.open(feed).read("lists", columns=["request_id"])).column(0)[0]
    run.say(f"look at {folder / 'report' / 'report.html'}")
    run.say(f"next: rankdistill preview {request} --config {config}")


def _students(run: Run, folder: Path, config: Path) -> None:
    """Two students of the same log, on requests that neither has learned from."""
    try:
        training.need_torch()
    except ResourceError as fault:
        run.say(f"4. train    -> not here: {fault.message}; {fault.help}")
        return
    students = {"distilled": [], "feedback": [FEEDBACK_ONLY]}
    for name, overrides in students.items():
        run.say(f"4. train    -> {folder / name}")
        chosen = actions.settings(str(config), overrides, None, None, None)
        asked_for = training.Asked(str(folder / name))
        _quietly(run, partial(training.train, chosen=chosen, asked=asked_for))
    run.say(f"5. evaluate -> {folder / 'evaluation'}")
    places = [str(folder / name) for name in (*students, "evaluation")]
    asked = evaluating.Asked(
        places[0], str(config), None, None, (), None, places[1], None, places[2], ()
    )
    document = _quietly(run, lambda quiet: evaluating.evaluate(quiet, asked))
    run.facts["evaluation"] = document
    if not run.as_json:
        run.show("\n" + text_table(list(_rows(document))), None)


def _quietly(run: Run, verb: Any) -> Any:
    """Run a verb that says nothing on stdout; its result."""
    quiet = Run(run.verb, as_json=True)
    quiet.notify = run.notify  # type: ignore[method-assign]
    with redirect_stdout(StringIO()) as told:
        verb(quiet)
    return json.loads(told.getvalue())


def _rows(document: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The measures that matter most, of both students."""
    for measure in document["measures"]:
        if measure["measure"] in SHOWN and measure["value"] is not None:
            other = measure["against"]
            yield {
                "measure": measure["measure"],
                "distilled": _with_interval(measure),
                "feedback only": _with_interval(other),
                "distilled is": measure["difference"]["verdict"],
                "what": measure["what"],
            }


def _with_interval(found: dict[str, Any]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
