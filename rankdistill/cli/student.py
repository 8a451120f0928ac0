"""Students: trained on a build, evaluated, handed to serving."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.choices import INDEXES, SPLITS, one_of
from rankdistill.cli.options import Config, Data, Dt, MaybeConfig, Number, Output, Set
from rankdistill.verbs import Run

From = Annotated[
    str | None,
    typer.Option("--from", help="first day to train on, or a time: requests from then on"),
]
To = Annotated[
    str | None, typer.Option("--to", help="last day to train on, or a time: requests before it")
]


def train(
    run: Run,
    config: Config,
    out: Annotated[str, typer.Option("--out", help="the run's folder; new, or one to go on with")],
    output: Output = None,
    build: Number = None,
    dt: Dt = None,
    first: From = None,
    last: To = None,
    set_: Set = None,
) -> None:
    """Train a student on the ranked lists of a build; goes on where a run was stopped."""
    from rankdistill import actions, training

    chosen = actions.settings(config, set_, None, output, None)
    asked = training.Asked(out, build, tuple(dt or ()), first, last)
    training.train(run, chosen, asked)


Split = Annotated[
    str | None,
    typer.Option(
        "--split", help="valid or test; default: test where there is one", **one_of(SPLITS)
    ),
]


def evaluate(
    run: Run,
    of: Annotated[str, typer.Option("--run", help="the folder that train --out wrote")],
    config: MaybeConfig = None,
    data: Data = None,
    build: Number = None,
    dt: Dt = None,
    split: Split = None,
    against: Annotated[
        str | None, typer.Option("--against", help="another run, on the same requests")
    ] = None,
    recall: Annotated[
        str | None, typer.Option("--recall", help="a recall run whose top comes before this one")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="the folder to write to; default the run's")
    ] = None,
    set_: Set = None,
) -> None:
    """Measure a student on later requests: like the teacher, and what users responded to."""
    from rankdistill import evaluating

    asked = evaluating.Asked(
        *(of, config, data, build, tuple(dt or ()), split),
        *(against, recall, out, tuple(set_ or ())),
    )
    evaluating.evaluate(run, asked)


def export(
    run: Run,
    of: Annotated[str, typer.Option("--run", help="the folder that train --out wrote")],
    out: Annotated[str, typer.Option("--out", help="an empty or a new folder to write to")],
    config: MaybeConfig = None,
    index: Annotated[
        str | None,
        typer.Option("--index", help="faiss index: flat, ivf, ivf_pq or hnsw", **one_of(INDEXES)),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="the user side as ONNX too")] = False,
    users: Annotated[bool, typer.Option("--users", help="vectors of known users too")] = False,
    set_: Set = None,
) -> None:
    """Hand a student over to serving: item vectors, the user side as a program, an index."""
    from rankdistill import exporting

    asked = [f"index.kind={index}"] if index else []
    asked += [text for text, wanted in (("onnx=true", onnx), ("users=known", users)) if wanted]
    exporting.export(run, of, out, config, [*asked, *(set_ or [])])
