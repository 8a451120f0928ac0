"""The losses again, a row at a time, by loops over plain numbers: what tests hold them to.

A row is (scores, targets, needs), without masked entries; None: it does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from math import exp, fabs, log, log2, sqrt

Row = list[float]


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def shares(values: Row) -> Row:
    total = sum(exp(v) for v in values)
    return [exp(v) / total for v in values]


def divergence(p: Row, q: Row) -> float:
    return sum(a * log(a / b) for a, b in zip(p, q, strict=True))


def mean(values: Row) -> float:
    return sum(values) / len(values)


def points(one: Callable[..., float]) -> Callable[..., float]:
    """The mean over a row's entries."""
    return lambda s, t, **o: mean([one(a, b, **o) for a, b in zip(s, t, strict=True)])


def cosine(s, y, margin):
    return y * (1 - s) + (1 - y) * max(0, s - margin)


def binary_kd(s, t, temperature):
    p, q = sigmoid(t / temperature), sigmoid(s / temperature)
    return temperature**2 * divergence([p, 1 - p], [q, 1 - q])


def list_kd(s, t, temperature):
    p, q = (shares([x / temperature for x in values]) for values in (t, s))
    return temperature**2 * divergence(p, q)


def list_net(s, t):
    return -sum(p * log(q) for p, q in zip(shares(t), shares(s), strict=True))


def by_target(s: Row, t: Row) -> Row:
    return [s[i] for i in sorted(range(len(s)), key=lambda i: -t[i])]


def place_losses(s: Row) -> Row:
    return [log(sum(exp(x) for x in s[k:])) - s[k] for k in range(len(s))]


def p_list_mle(s, t, place_weight):
    n = len(s)
    found = 0.0
    for k, loss in enumerate(place_losses(by_target(s, t)), 1):
        by_power = (2 ** (n - k) - 1) / 2 ** (n - 1)
        found += loss * (1 / log2(1 + k) if place_weight == "log" else by_power)
    return found


def rrd(s, t):
    top = [i for i in sorted(range(len(s)), key=lambda i: -t[i]) if t[i] > 0]
    rest = sum(exp(x) for x, y in zip(s, t, strict=True) if y <= 0)
    terms = [log(sum(exp(s[j]) for j in top[k:]) + rest) - s[i] for k, i in enumerate(top)]
    return sum(terms) if top else None


def gain_of(grade: float, gain: str) -> float:
    return 2**grade - 1 if gain == "exponential" else grade


def ideal_dcg(t: Row, gain: str) -> float:
    """The best of all orders, tried one by one."""
    return max(
        sum(gain_of(grade, gain) / log2(1 + r) for r, grade in enumerate(order, 1))
        for order in permutations(t)
    )


def lambda_loss(s, t, scheme, sigma, mu, gain):
    best = ideal_dcg(t, gain)
    pairs = [
        (i, j)
        for i in range(len(s))
        for j in range(len(s))
        if i != j and (scheme == "ndcg1" or t[i] > t[j])
    ]
    if not best or not pairs:
        return None
    # By score; of tied scores the one that stands first.
    r = [1 + sum((-y, j) < (-x, i) for j, y in enumerate(s)) for i, x in enumerate(s)]

    def d(rank: int) -> float:
        return log2(1 + rank)

    def weight(i: int, j: int) -> float:
        g, h = gain_of(t[i], gain) / best, gain_of(t[j], gain) / best
        if scheme == "ndcg1":
            return g / d(r[i])
        gap = abs(r[i] - r[j])
        two = fabs(g - h) * fabs(1 / d(gap) - 1 / d(gap + 1))
        swap = fabs(g - h) * fabs(1 / d(r[i]) - 1 / d(r[j]))
        return {"ndcg2": two, "lambdarank": swap, "ndcg2pp": mu * two + swap}[scheme]

    return -sum(weight(i, j) * log2(sigmoid(sigma * (s[i] - s[j]))) for i, j in pairs)


def approx_ndcg(s, t, temperature, gain):
    best = ideal_dcg(t, gain)
    if not best:
        return None
    found = 0.0
    for i, x in enumerate(s):
        rank = 1 + sum(sigmoid((y - x) / temperature) for j, y in enumerate(s) if j != i)
        found -= gain_of(t[i], gain) / best / log2(1 + rank)
    return found


def neural_ndcg(s, t, temperature, sinkhorn, gain):
    best, n = ideal_dcg(t, gain), len(s)
    if not best:
        return None
    spread = [sum(fabs(x - y) for y in s) for x in s]
    matrix = [
        shares([((n + 1 - 2 * k) * s[j] - spread[j]) / temperature for j in range(n)])
        for k in range(1, n + 1)
    ]
    for _ in range(sinkhorn):
        sums = [sum(row[j] for row in matrix) for j in range(n)]
        matrix = [[row[j] / sums[j] for j in range(n)] for row in matrix]
        matrix = [[x / sum(row) for x in row] for row in matrix]
    placed = [sum(row[j] * gain_of(t[j], gain) for j in range(n)) for row in matrix]
    return -sum(x / log2(1 + k) for k, x in enumerate(placed, 1)) / best


def softmax(s, t, temperature):
    return -log(shares([x / temperature for x in s])[0])


def sampled_softmax(s, t, log_q, count, temperature, beta):
    """An entry as often as it counts."""
    corrected = [x / temperature - beta * q for x, q in zip(s, log_q, strict=True)]
    rest = [x for x, num in zip(corrected[1:], count[1:], strict=True) for _ in range(int(num))]
    own = corrected[0] + log(count[0])
    return softmax([own, *rest], [1.0] + [0.0] * len(rest), 1)


def adaptive_margin(s, t, similarity, alpha, margin, symmetric):
    found = 0.0
    for x, alike in list(zip(s, similarity, strict=True))[1:]:
        found += max(0, alpha * (1 - alike) + margin + x - s[0])
        found += symmetric * max(0, alpha * (1 - x) + margin + alike - s[0])
    return found


def adaptive_softmax(s, t, similarity, temperature, alpha, symmetric):
    both = list(zip(s, similarity, strict=True))[1:]
    by_user = [(x - s[0]) / (temperature + alpha * (1 - alike)) for x, alike in both]
    by_item = [(alike - s[0]) / (temperature + alpha * (1 - x)) for x, alike in both]
    return log(1 + sum(map(exp, by_user))) + symmetric * log(1 + sum(map(exp, by_item)))


SLOW: dict[str, Callable[..., float | None]] = {
    "bce": points(lambda s, y: -y * log(sigmoid(s)) - (1 - y) * log(1 - sigmoid(s))),
    "logit_mse": points(lambda s, t: (s - t) ** 2),
    "binary_kd": points(binary_kd),
    "cosine": points(cosine),
    "bpr": lambda s, t: -log(sigmoid(s[0] - s[1])),
    "triplet_hinge": lambda s, t, margin: max(0, margin + s[1] - s[0]),
    "triplet_logistic": lambda s, t, gamma: log(1 + exp(gamma * (s[1] - s[0]))),
    "list_kd": list_kd,
    "list_net": list_net,
    "list_mle": lambda s, t: sum(place_losses(by_target(s, t))),
    "p_list_mle": p_list_mle,
    "rrd": rrd,
    "lambda_loss": lambda_loss,
    "approx_ndcg": approx_ndcg,
    "neural_ndcg": neural_ndcg,
    "softmax": softmax,
    "sampled_softmax": sampled_softmax,
    "adaptive_margin": adaptive_margin,
    "adaptive_softmax": adaptive_softmax,
}


def margin_mse(rows, weights, calibration):
    """Of a whole batch, for the calibration is of it: the sum over its rows."""
    values = [y for _, t, _ in rows for y in t]
    gaps = [(s[0] - s[1], t[0] - t[1]) for s, t, _ in rows]
    factor = 1.0
    if calibration == "zscore":
        factor = 1 / (sqrt(mean([(y - mean(values)) ** 2 for y in values])) or 1)
    if calibration == "affine":
        factor = 1 / ((max(values) - min(values)) or 1)
    return sum(w * (x - factor * y) ** 2 for (x, y), w in zip(gaps, weights, strict=True))


def slow_loss(kind, rows, weights, parameters):
    """sum(weight * loss) / number of rows that count, of rows as they stand."""
    if kind == "margin_mse":
        kept = [(row, w) for row, w in zip(rows, weights, strict=True) if len(row[0]) == 2]
        if not kept:
            return 0.0
        return margin_mse(*map(list, zip(*kept, strict=True)), **parameters) / len(kept)
    found = [
        (SLOW[kind](s, t, **needs, **parameters), w)
        for (s, t, needs), w in zip(rows, weights, strict=True)
        if len(s) >= (1 if kind in POINTS else 2)
    ]
    counted = [loss * w for loss, w in found if loss is not None]
    return sum(counted) / max(1, len(counted))


POINTS = {"bce", "logit_mse", "binary_kd", "cosine"}
