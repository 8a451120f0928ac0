"""Why rows of a table are not in the files: every reason has a name, and is counted.

A row that is left out is counted once, by the first reason that applies.
"""

from __future__ import annotations

LEFT_OUT = {
    "no_user": "rows of requests without a user (--anchor request keeps them)",
    "no_anchor_text": "rows whose anchor is not in the table of --anchor-text, or null there",
    "no_item_text": "rows with an item that is not in the table of --item-text, or null there",
    "no_score": "rows whose negative has no teacher score",
    "too_few": "negatives of positives that have fewer than --num-negatives",
    "remainder": "negatives beyond a whole number of tuples of their positive",
    "no_list": "graded lists of requests that the table lists does not have",
    "easy": "negatives of the sources popular and uniform, which are no hard edges",
    "held_out": "rows of the splits valid and test, which a training graph must not know",
}
