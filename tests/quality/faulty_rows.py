"""Faults put into the rows of a clean log (`defects_kit.log`)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tests.quality.defects_kit import LAST, RANKED, SHOWN, SPLIT, log

Rows = pd.DataFrame


def some(rows: Rows, every: int) -> pd.Series:
    """One request of so many, evenly over the day."""
    return rows.request_id % every == 0


def again(rows: Rows, which: pd.Series, later: str = "0s") -> Rows:
    """The rows, and those of some requests once more under other ids."""
    copies = rows[which].copy()
    copies["request_id"] += 50_000_000
    copies["request_time"] += pd.Timedelta(later)
    return pd.concat([rows, copies], ignore_index=True)


def place(rows: Rows) -> pd.Series:
    """The place of each row in its request, from 0."""
    return rows.groupby("request_id").cumcount()


def put(rows: Rows, which: pd.Series, **values: Any) -> Rows:
    """The rows with other values in some of them."""
    rows = rows.copy()
    for name, value in values.items():
        rows.loc[which, name] = value(rows[which]) if callable(value) else value
    return rows


def tied(rows: Rows) -> Rows:
    """Ranks 1 and 2 alike, 3 and 4, ... down to 20: few for Q07, more than there ever were."""
    pair = place(rows) // 2
    first = rows.groupby(["request_id", pair]).teacher_score.transform("first")
    return put(rows, rows["rank"] <= 20, teacher_score=first)


def shuffled_tail(rows: Rows) -> Rows:
    """Scores of what was ranked but not shown, in any order."""
    tail = rows[rows["rank"] > SHOWN]
    found = tail.groupby("request_id").teacher_score.sample(frac=1, random_state=1)
    rows = rows.copy()
    rows.loc[tail.index, "teacher_score"] = found.to_numpy()
    return rows


def clicks_of_chance(rows: Rows) -> Rows:
    """As many clicks as before on each page, on any of its items."""
    shown = rows[rows.position.notna()]
    found = shown.groupby("request_id").click.sample(frac=1, random_state=2)
    rows = rows.copy()
    rows.loc[shown.index, "click"] = found.to_numpy()
    return rows


def first_is_clicked(rows: Rows) -> Rows:
    """Whatever was clicked stood at the top of the page."""
    shown = rows[rows.position.notna()].sort_values(
        ["request_id", "click"], ascending=[True, False]
    )
    rows = rows.copy()
    rows.loc[shown.index, "position"] = shown.groupby("request_id").cumcount() + 1.0
    return rows


def collapsed(rows: Rows) -> Rows:
    """The scores of a sixth of the requests differ in the ninth digit alone."""
    return put(rows, some(rows, 6), teacher_score=lambda r: 0.3 - r["rank"] * 1e-10)


def near_behind(rows: Rows) -> Rows:
    """What was not shown scores almost as high as the last that was."""
    least = rows[rows["rank"] == SHOWN].set_index("request_id").teacher_score
    which = rows["rank"] > SHOWN
    return put(
        rows,
        which,
        teacher_score=lambda r: r.request_id.map(least) * (1 - (r["rank"] - SHOWN) / 500),
    )


def pinned(rows: Rows) -> Rows:
    """One item is dropped by the pre-ranker in each request."""
    return put(rows.assign(item_id=rows.item_id + 10), place(rows) == RANKED, item_id=7)


def few_positives(rows: Rows) -> Rows:
    """The same few items stand first in every list."""
    rows = rows.assign(item_id=rows.item_id + 10)
    top = rows["rank"] <= 5
    rows.loc[top, "item_id"] = rows[top]["rank"].astype(int)
    return rows


def late(rows: Rows) -> Rows:
    """A twelfth of the requests come in the last minutes, and are clicked."""
    which = some(rows, 12)
    end = LAST + pd.Timedelta("23h59m")
    rows = put(rows, which, request_time=end)
    return put(rows, which & (rows["rank"] == 1), click=1.0)


def wanted_later(rows: Rows) -> Rows:
    """Users find what the pre-ranker had dropped half an hour before, and click some of it."""
    which = some(rows, 3) & (rows.request_time < LAST + pd.Timedelta(hours=20))
    rows = again(rows, which, "30min")
    is_new = rows.request_id >= 50_000_000
    fallen = rows[is_new & (place(rows) >= RANKED) & (place(rows) < RANKED + 3)]
    rows.loc[is_new, "item_id"] += 10_000
    first = rows[is_new & (place(rows) < 3)].index
    rows.loc[first, "item_id"] = fallen.item_id.to_numpy()
    rows.loc[first, "click"] = 1.0
    return rows


def torn(rows: Rows) -> Rows:
    """Three requests of train carry ids that requests of the next day carry, too."""
    later = log([LAST + pd.Timedelta(days=1)], seed=8)
    ids = dict(zip(later.request_id.unique()[:3], rows.request_id.unique()[:3], strict=True))
    both = pd.concat([rows, later.assign(request_id=later.request_id.replace(ids))])
    return both.assign(dt=both.request_time.dt.strftime("%Y-%m-%d"))


def around_the_split(rows: Rows) -> Rows:
    """The last request of train, once more right behind the split."""
    which = rows.request_id == rows[rows.request_time < SPLIT].request_id.max()
    rows = put(rows, which, request_time=SPLIT - pd.Timedelta("5s"))
    return again(rows, which, "10s")
