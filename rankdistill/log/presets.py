"""Known log shapes: what a user would else have to write into `log`.

A preset is a plain dict, merged under the user's own keys, so every key can be overridden.
"""

from __future__ import annotations

from typing import Any

# Our own names. Request key request_id, user key user_id; every further column that carries
# one of our names is mapped without being named (log.mapping).
GENERIC: dict[str, Any] = {}

RECFLOW: dict[str, Any] = {
    # RecFlow (ICLR 2025): request key request_id, user key user_id. It logs a sample of each
    # stage, so gaps in rank are normal; an item flagged twice counts at its furthest stage.
    # Its coarse ranker is one stage more than ours: coarse_neg is substage 2 of preranked.
    "columns": {
        "request_id": "request_id",
        "request_time": {"column": "request_timestamp", "unit": "ms"},
        "user_id": "user_id",
        "item_id": "video_id",
        "rank": "rank_index",
        "rerank_rank": "rerank_index",
        "feedback": [
            "effective_view",
            "long_view",
            "like",
            "follow",
            "forward",
            "comment",
            "playing_time",
        ],
    },
    "response": {"effective_view": 1},
    "ranks": "sampled",
    "rank_base": 1,
    "stage": {
        "from": "flags",
        "flags": {
            "exposed": "realshow",
            "reranked": ["rerank_pos", "rerank_neg"],
            "ranked": ["rank_pos", "rank_neg"],
            "preranked": ["coarse_neg", "prerank_neg"],
        },
        "substages": {"coarse_neg": 2, "prerank_neg": 1},
    },
}

TREC_RUN: dict[str, Any] = {
    # TREC run files: query Q0 doc rank score tag. The query is the request and the user.
    "format": "trec",
    "names": ["query", "q0", "doc", "rank", "score", "tag"],
    "columns": {
        "request_id": "query",
        "user_id": "query",
        "item_id": "doc",
        "rank": "rank",
        "teacher_score": "score",
    },
    "stage": {"from": "constant", "stage": "ranked"},
}

OPEN_BANDIT: dict[str, Any] = {
    # Open Bandit (ZOZO): single exposures. The unnamed first column is the only request key;
    # the user key is a hash of the four user features.
    "format": "csv",
    "columns": {
        "request_id": {"name": ""},
        "request_time": "timestamp",
        "user_id": {"hash_of": [f"user_feature_{i}" for i in range(4)]},
        "item_id": "item_id",
        "position": "position",
        "feedback": ["click"],
        "item": ["propensity_score"],
    },
    "teacher_order": "position",
    "ranks": "sampled",  # an exposure at position 3 comes without those at 1 and 2
    "stage": {"from": "constant", "stage": "exposed"},
}

PRESETS = {
    "generic": GENERIC,
    "recflow": RECFLOW,
    "trec_run": TREC_RUN,
    "open_bandit": OPEN_BANDIT,
}
