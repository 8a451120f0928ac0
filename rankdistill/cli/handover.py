"""What others read: files of a table, other trainers' formats, mined negatives."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdistill.cli.choices import ANCHORS, HANDED_OVER, TABLES, completed
from rankdistill.cli.options import Data, Dt, EngineName, MaybeConfig, Number, Set
from rankdistill.verbs import Run


def files(
    run: Run,
    table: Annotated[
        str,
        typer.Argument(
            help="lists, pointwise, pairwise, listwise, rejects", autocompletion=completed(TABLES)
        ),
    ],
    config: MaybeConfig = None,
    data: Data = None,
    build: Number = None,
    dt: Annotated[str | None, typer.Option("--dt", help="only this day")] = None,
) -> None:
    """List the Parquet files of a table; the only files to read."""
    from rankdistill import actions

    actions.files(run, actions.data_set(config, data), table, build, dt)


def export_samples(
    run: Run,
    kind: Annotated[
        str,
        typer.Option(
            "--as",
            help="triplet, n-tuple, libsvm, tfrecord, ...",
            autocompletion=completed(HANDED_OVER),
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="an empty or a new folder to write to")],
    config: MaybeConfig = None,
    data: Data = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="the table to read", autocompletion=completed(TABLES)),
    ] = None,
    build: Number = None,
    dt: Dt = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor", help="user (default) or request", autocompletion=completed(ANCHORS)
        ),
    ] = None,
    num_negatives: Annotated[
        int | None, typer.Option("--num-negatives", min=1, help="of each tuple")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="columns for libsvm, lightgbm: a,b,c")
    ] = None,
    item_text: Annotated[
        str | None, typer.Option("--item-text", help="FILE:ID_COLUMN:TEXT_COLUMN, Parquet")
    ] = None,
    anchor_text: Annotated[
        str | None, typer.Option("--anchor-text", help="the same for users or requests")
    ] = None,
) -> None:
    """Hand samples over to another trainer, in its format."""
    from rankdistill import actions

    found = actions.data_set(config, data)
    texts = {"item_text": item_text, "anchor_text": anchor_text}
    asked = {"table": table, "anchor": anchor, "num_negatives": num_negatives, **texts}
    actions.export_samples(run, found, kind, out, build, dt or [], features, asked)


def mine_negatives(
    run: Run,
    data: Annotated[str, typer.Option("--data", help="the data set's folder")],
    out: Annotated[str, typer.Option("--out", help="an empty or a new folder to write to")],
    config: MaybeConfig = None,
    set_: Set = None,
    engine: EngineName = None,
) -> None:
    """Mine negatives: each user's nearest items by vectors, positives and history left out."""
    from rankdistill import actions

    found = actions.data_set(None, data)
    actions.mine_negatives(run, found, out, config, set_ or [], engine)
