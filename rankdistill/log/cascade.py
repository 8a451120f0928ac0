"""A block of simulated requests on its way through the cascade, as NumPy arrays.

recall -> pre-ranker -> teacher (fine ranker) -> re-ranker -> exposure -> feedback.
Shapes: R requests, C recalled candidates each (in item order), N ranked, M reranked,
K exposed. Every draw is a hash of (seed, purpose, request, item): no row knows its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np

from rankdistill.hashing import U64
from rankdistill.log.world import (
    MAX_REQUESTS_PER_DAY,
    NUM_ARRANGEMENTS,
    NUM_FACTORS,
    NUM_KNOWN_FACTORS,
    SimulateOptions,
    World,
    draw,
    lane,
    normal,
    normal_table,
    unit,
)

# Requests per hour of the day, in parts: a quiet night, a peak in the evening.
HOURS = np.array([4, 2, 1, 1, 1, 2, 4, 7, 9, 9, 9, 10, 12, 11, 9, 9, 10, 12, 14, 17, 19, 18, 13, 8])
SCENE_APPEAL = np.array([0.0, 0.3, 0.6], dtype=np.float32)
BASE_LOGIT = -3.0
MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Requests:
    """R requests: all arrays [R]. `user` counts from 0, `time` is microseconds since 1970 UTC."""

    request_id: np.ndarray
    user: np.ndarray
    time: np.ndarray
    hour: np.ndarray
    scene: np.ndarray


@dataclass(frozen=True)
class Cascade:
    """What happened to R requests; arrays [R, C], 0 where the stage was not reached.

    probability, examined: the truth, never in the log. Feedback counts where position > 0,
    teacher_score where rank > 0, prerank_score where stage > 1.
    """

    requests: Requests
    item: np.ndarray
    stage: np.ndarray
    prerank_score: np.ndarray
    teacher_score: np.ndarray
    rank: np.ndarray
    rerank_rank: np.ndarray
    position: np.ndarray
    click: np.ndarray
    like: np.ndarray
    play_time: np.ndarray
    probability: np.ndarray
    examined: np.ndarray


def run_cascade(world: World, options: SimulateOptions, requests: Requests) -> Cascade:
    """The funnel of each request, from recall to feedback."""
    item, reached = recalled(world, options, requests)
    bits = draw(options.seed, "noise", requests.request_id[:, None], item)
    known, logit = truth(world, options, requests, item)
    probability = sigmoid(logit)
    prerank_score = known + 0.4 * world.popularity[item] + 0.4 * normal_table()[lane(bits, 0)]

    kept = np.sort(best_first(prerank_score, reached)[:, : options.num_ranked], axis=1)
    score = teacher_view(world, pick(logit, kept), pick(item, kept), pick(bits, kept))
    fine = best_first(score)
    ranked = pick(kept, fine)
    short = ranked[:, : options.num_reranked]
    again = pick(score, fine[:, : options.num_reranked])
    again += 0.3 * normal_table()[lane(pick(bits, short), 2)]
    reranked = pick(short, best_first(again))
    shown = reranked[:, : options.num_exposed]
    happened = feedback(world, options, requests, pick(item, shown), pick(probability, shown))

    num_candidates = item.shape[1]
    rank, rerank_rank, position = (
        spread(np.broadcast_to(places(slots), slots.shape), slots, num_candidates)
        for slots in (ranked, reranked, shown)
    )
    stage = 1 + reached + (rank > 0) + (rerank_rank > 0) + (position > 0)
    return Cascade(
        requests=requests,
        item=item,
        stage=stage.astype(np.int8),
        prerank_score=prerank_score,
        teacher_score=spread(score, kept, num_candidates),
        rank=rank,
        rerank_rank=rerank_rank,
        position=position,
        probability=probability,
        **{name: spread(column, shown, num_candidates) for name, column in happened.items()},
    )


def make_requests(world: World, options: SimulateOptions, day: date, index: np.ndarray) -> Requests:
    """The requests number `index` (from 0, in order of time) of `day`."""
    number = (day.year * 100 + day.month) * 100 + day.day
    request_id = number * MAX_REQUESTS_PER_DAY + index
    bits = draw(options.seed, "request", request_id)
    through_day = (index + unit(bits, 0).astype(np.float64)) / options.num_requests
    ends = np.cumsum(HOURS) / HOURS.sum()
    hour = np.minimum(np.searchsorted(ends, through_day, side="right"), 23)
    share = HOURS[hour] / HOURS.sum()
    within = np.clip((through_day - (ends[hour] - share)) / share, 0.0, 1.0)
    midnight = (day - date(1970, 1, 1)).days * 24
    time = (midnight + hour) * MICROSECONDS_PER_HOUR
    time += (within * (MICROSECONDS_PER_HOUR - 1)).astype(np.int64)
    # Cubed, so that the most active hundredth of the users sends a fifth of the requests.
    chance = (bits >> U64(40)).astype(np.float64) / 2.0**24
    active = (chance * chance * chance * options.num_users).astype(np.int64)
    scene = np.searchsorted([0.6, 0.85], unit(bits, 1)).astype(np.int8)
    return Requests(request_id, world.users_by_activity[active], time, hour, scene)


def recalled(
    world: World, options: SimulateOptions, requests: Requests
) -> tuple[np.ndarray, np.ndarray]:
    """item [R, C], rising within a request; and whether it reached the pre-ranker.

    From each shelf two draws, both leaning to the popular end; the one that the user's first
    two factors like better (with noise) is recalled.
    """
    num_items, starts = len(world.category), world.shelf_starts
    shelf = np.arange(options.num_candidates)
    bits = draw(options.seed, "recall", requests.request_id[:, None], shelf)
    arrangement = draw(options.seed, "arrangement", requests.request_id) % U64(NUM_ARRANGEMENTS)
    base = arrangement.astype(np.int64)[:, None] * num_items + starts[:-1]
    size = np.diff(starts)
    first, second = (
        world.shelves[base + _popular_end(bits >> U64(24 * draw_number), size)]
        for draw_number in (0, 1)
    )
    liking = 0.8 * normal_table()[lane(bits, 3)]
    for factors, items_of in zip(world.user_factors[:2], world.item_factors[:2], strict=True):
        liking += factors[requests.user][:, None] * (items_of[first] - items_of[second])
    chosen = np.where(liking > 0, first, second)
    keyed = np.sort((chosen.astype(np.int64) << 32) | shelf, axis=1)
    return keyed >> 32, (keyed & 0xFFFFFFFF) < options.num_preranked


def _popular_end(bits: np.ndarray, size: np.ndarray) -> np.ndarray:
    chance = (bits & U64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)
    place = (chance * chance * chance * size.astype(np.float32)).astype(np.int64)
    return np.minimum(place, size - 1)


def truth(
    world: World, options: SimulateOptions, requests: Requests, item: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The affinity that the pre-ranker can know, and the logit of a click; float32 [R, C].

    What moves the rest of a user's tastes in this request (`intent`), the hour and the scene
    are the teacher's privilege.
    """
    known = np.zeros(item.shape, dtype=np.float32)
    hidden = world.appeal[item]
    hour = (requests.hour[:, None] * world.hour_appeal.shape[1]) + world.category[item]
    hidden += world.hour_appeal.ravel()[hour]
    hidden += (BASE_LOGIT + SCENE_APPEAL[requests.scene])[:, None].astype(np.float32)
    # Factor by factor, not as a matrix product: the order of the sum is part of the result.
    for factor in range(NUM_FACTORS):
        wanted = world.user_factors[factor][requests.user]
        if factor >= NUM_KNOWN_FACTORS:
            wanted = wanted + 0.5 * normal(options.seed, "intent", factor, requests.request_id)
        into = known if factor < NUM_KNOWN_FACTORS else hidden
        into += wanted[:, None] * world.item_factors[factor][item]
    return known, known + hidden


def teacher_view(world: World, logit: np.ndarray, item: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The teacher's logit: the true one stretched, biased by item and noisy; float32 [R, N]."""
    return 1.1 * logit + 0.4 + world.teacher_bias[item] + 0.45 * normal_table()[lane(bits, 1)]


def feedback(
    world: World,
    options: SimulateOptions,
    requests: Requests,
    item: np.ndarray,
    probability: np.ndarray,
) -> dict[str, np.ndarray]:
    """What the user did with the K items shown, by position; [R, K] each."""
    bits = draw(options.seed, "feedback", requests.request_id[:, None], item)
    examined = unit(bits, 0) < examination(item.shape[1])
    click = examined & (unit(bits, 1) < probability)
    like = click & (unit(bits, 2) < 0.05 + 0.4 * probability)
    lasting = probability + (1 - probability) * unit(bits, 3) * unit(bits, 3)
    play_time = np.where(click, np.rint(world.duration[item] * lasting * 10) / 10, 0)
    return {
        "examined": examined,
        "click": click.astype(np.int8),
        "like": like.astype(np.int8),
        "play_time": play_time.astype(np.float32),
    }


@cache
def examination(num_exposed: int) -> np.ndarray:
    """The probability that a position is looked at at all: position^-0.7 (float32 [K])."""
    return np.array([round(p**-0.7, 6) for p in range(1, num_exposed + 1)], dtype=np.float32)


@cache
def _sigmoid_table() -> np.ndarray:
    steps = np.arange(LOGIT_STEPS + 1) / LOGIT_STEPS * 2 * MAX_LOGIT - MAX_LOGIT
    return np.round(1 / (1 + np.exp(-steps)), 7).astype(np.float32)


MAX_LOGIT, LOGIT_STEPS = 12, 24 * 4096


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """The logistic function from a rounded table with 4,096 steps per unit (float32)."""
    step = np.rint((logit + np.float32(MAX_LOGIT)) * np.float32(LOGIT_STEPS // (2 * MAX_LOGIT)))
    return _sigmoid_table()[np.clip(step, 0, LOGIT_STEPS).astype(np.int64)]


def best_first(score: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
    """The slots of each row by falling score, ties by slot, those not `allowed` last; int64."""
    bits = (score + np.float32(0)).view(np.int32)  # + 0 makes -0.0 and 0.0 tie
    rising = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    keyed = -rising.astype(np.int64)
    if allowed is not None:
        keyed[~allowed] = (1 << 31) - 1
    keyed = (keyed << 32) | np.arange(score.shape[1])
    keyed.sort(axis=1)
    return keyed & 0xFFFFFFFF


def pick(values: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """values[r, slots[r, j]]."""
    rows = np.arange(len(values))[:, None] * values.shape[1]
    return values.ravel()[rows + slots]


def places(slots: np.ndarray) -> np.ndarray:
    """1 .. of each column (int32)."""
    return np.arange(1, slots.shape[1] + 1, dtype=np.int32)


def spread(values: np.ndarray, slots: np.ndarray, num_candidates: int) -> np.ndarray:
    """`values` [R, n] at their slots in [R, C], zeros elsewhere."""
    wide = np.zeros((len(values), num_candidates), dtype=values.dtype)
    rows = np.arange(len(values))[:, None] * num_candidates
    wide.ravel()[rows + slots] = values
    return wide
