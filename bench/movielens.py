"""A cascade log out of ml-100k: real ratings, a gradient-boosted teacher, a weak pre-ranker.

Each user's ratings are cut by time into 60, 20 and 20 %. The teacher learns the first part with
every feature; the second part is played as five requests of 200 candidates, which the student's
log shows; the third is kept to judge students by. Cut user by user, the first part of one user
may lie after the last of another: what items became liked leaks across users, for every
contestant alike. Shapes: U users, I items, F features, C candidates.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rankdistill.hashing import mix, name_key, unit

LIKED = 4
NUM_REQUESTS, NUM_CANDIDATES, NUM_RANKED, NUM_EXPOSED = 5, 200, 60, 10
NUM_FACTORS, NUM_FOLDS, NUM_UNRATED = 24, 5, 3
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05")


@dataclass(frozen=True)
class Ratings:
    """Users and items are numbered from 0. frame: user, item, rating, part (0, 1, 2), in the
    order of time within a user; user_features [U, .], item_features [I, .]; genres bool [I, G]."""

    frame: pd.DataFrame
    user_ids: np.ndarray
    item_ids: np.ndarray
    user_features: np.ndarray
    item_features: np.ndarray
    genres: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.user_ids), len(self.item_ids)

    def part(self, number: int) -> pd.DataFrame:
        return self.frame[self.frame["part"] == number]

    @cached_property
    def rated(self) -> np.ndarray:
        """bool [U, I]: rated in the first part."""
        first = self.part(0)
        found = np.zeros(self.shape, dtype=bool)
        found[first["user"], first["item"]] = True
        return found


def read_ratings(folder: Path) -> Ratings:
    """The ratings of `ml-100k/`, each user's cut by time."""
    table = {n: pd.read_csv(folder / f"ml-100k.{n}", sep="\t") for n in ("inter", "user", "item")}
    for frame in table.values():
        frame.columns = [name.split(":")[0] for name in frame.columns]
    users, items = table["user"].sort_values("user_id"), table["item"].sort_values("item_id")
    user_ids, item_ids = users["user_id"].to_numpy(), items["item_id"].to_numpy()
    frame = table["inter"].sort_values(["user_id", "timestamp", "item_id"], kind="stable")
    place = frame.groupby("user_id").cumcount()
    size = frame.groupby("user_id")["item_id"].transform("size")
    frame = pd.DataFrame(
        {
            "user": np.searchsorted(user_ids, frame["user_id"]),
            "item": np.searchsorted(item_ids, frame["item_id"]),
            "rating": frame["rating"],
            "part": np.digitize(place / size, [0.6, 0.8]),
        }
    )
    genres = items["class"].fillna("").str.get_dummies(sep=" ").to_numpy() > 0
    year = pd.to_numeric(items["release_year"], errors="coerce").fillna(1990).to_numpy()
    of_user = [
        users["age"].to_numpy(),
        (users["gender"] == "M").to_numpy(),
        users["occupation"].astype("category").cat.codes.to_numpy(),
    ]
    return Ratings(
        frame, user_ids, item_ids, np.stack(of_user, 1), np.column_stack([year, genres]), genres
    )


@dataclass(frozen=True)
class Statistics:
    """What some ratings of the first part say. All that the teacher knows but plain features."""

    user_mean: np.ndarray
    item_mean: np.ndarray
    item_count: np.ndarray
    taste: np.ndarray
    users: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, ratings: Ratings, frame: pd.DataFrame) -> Statistics:
        """taste: mean rating above the user's own by genre [U, G]; users, items: the singular
        vectors of the ratings less their means [., NUM_FACTORS]."""
        num_users, num_items = ratings.shape
        user, item = frame["user"].to_numpy(), frame["item"].to_numpy()
        rating = frame["rating"].to_numpy(np.float64)
        overall = rating.mean()
        count, liked = np.bincount(item, minlength=num_items), rating - overall
        item_mean = np.bincount(item, liked, num_items) / (count + 5)
        rest = liked - item_mean[item]
        num = np.bincount(user, minlength=num_users)
        user_mean = np.bincount(user, rest, num_users) / (num + 5)
        matrix = np.zeros(ratings.shape)
        matrix[user, item] = rest - user_mean[user]
        genres = ratings.genres.astype(np.float64)
        seen = (matrix != 0).astype(np.float64) @ genres
        taste = matrix @ genres / (seen + 3)
        left, size, right = np.linalg.svd(matrix, full_matrices=False)
        left, right = left[:, :NUM_FACTORS] * size[:NUM_FACTORS], right[:NUM_FACTORS].T
        return cls(user_mean, item_mean, count, taste, left, right)

    def features(self, ratings: Ratings, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """What the teacher sees of user [C] and item [C]: float64 [C, F]."""
        genres = ratings.genres[item]
        meets = self.users[user] * self.items[item]
        own = [
            self.user_mean[user],
            self.item_mean[item],
            np.log1p(self.item_count[item]),
            (self.taste[user] * genres).sum(1) / np.maximum(genres.sum(1), 1),
            meets.sum(1),
            meets[:, :4].sum(1),
        ]
        plain = [ratings.user_features[user], ratings.item_features[item]]
        return np.column_stack([*own, *plain])


def lot(purpose: str, *parts: np.ndarray | int) -> np.ndarray:
    """A number in [0, 1) for each of the parts, by hash."""
    return unit(mix(name_key(f"movielens.{purpose}"), *parts))


class Teacher:
    """Gradient boosting on every feature: is it liked (rated 4 or 5)? Unrated items, drawn by
    popularity, count as not liked. The ratings that an example's features are made of do not
    hold the example: five folds."""

    def __init__(self, ratings: Ratings, seed: int) -> None:
        import lightgbm

        first = ratings.part(0)
        fold = (lot("fold", first["user"].to_numpy(), first["item"].to_numpy()) * NUM_FOLDS).astype(
            int
        )
        rows, labels = [], []
        for number in range(NUM_FOLDS):
            known = Statistics.of(ratings, first[fold != number])
            asked = first[fold == number]
            user, item = asked["user"].to_numpy(), asked["item"].to_numpy()
            unrated = popular(ratings, np.repeat(user, NUM_UNRATED), seed + number)
            rows.append(known.features(ratings, user, item))
            labels.append(asked["rating"].to_numpy() >= LIKED)
            is_none = unrated >= 0
            users = np.repeat(user, NUM_UNRATED)[is_none]
            rows.append(known.features(ratings, users, unrated[is_none]))
            labels.append(np.zeros(is_none.sum(), dtype=bool))
        self._ratings, self._known = ratings, Statistics.of(ratings, first)
        self._model = lightgbm.LGBMClassifier(
            n_estimators=300,
            learning_rate=0.05,
            num_leaves=31,
            min_child_samples=40,
            random_state=seed,
            deterministic=True,
            n_jobs=2,
            verbose=-1,
        ).fit(np.concatenate(rows), np.concatenate(labels))

    def score(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Logits, float64 [C]."""
        found = self._known.features(self._ratings, user, item)
        return self._model.predict(found, raw_score=True)

    def weak(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """What a pre-ranker would say: popularity, mean rating, and genres liked."""
        known, genres = self._known, self._ratings.genres[item]
        taste = (known.taste[user] * genres).sum(1) / np.maximum(genres.sum(1), 1)
        return 0.25 * np.log1p(known.item_count[item]) + known.item_mean[item] + taste


def popular(ratings: Ratings, user: np.ndarray, seed: int) -> np.ndarray:
    """An item for each user [n] in proportion to the first part's ratings; -1 where he rated it."""
    count = np.bincount(ratings.part(0)["item"], minlength=ratings.shape[1])
    bound = np.cumsum(count) / count.sum()
    item = np.searchsorted(bound, lot("popular", seed, np.arange(len(user))), side="right")
    return np.where(ratings.rated[user, item], -1, item)


def candidates(ratings: Ratings, seed: int) -> pd.DataFrame:
    """user, request (0 .. 4), item, rating (NaN: not rated): the items that the user rates in the
    second part, in each of his requests, and others by popularity that he had not rated by then."""
    second = ratings.part(1)
    count = np.bincount(ratings.part(0)["item"], minlength=ratings.shape[1]) + 0.5
    taken = ratings.rated.copy()
    taken[second["user"], second["item"]] = True
    found = []
    for user, own in second.groupby("user"):
        chosen, free = own.iloc[:NUM_CANDIDATES], np.flatnonzero(~taken[user])
        num_free = NUM_CANDIDATES - len(chosen)
        for request in range(NUM_REQUESTS):
            # Exponential races: the first of them are a draw by popularity, none twice.
            race = -np.log1p(-lot("race", seed, user, request, free)) / count[free]
            item = np.concatenate([chosen["item"], free[np.argsort(race)[:num_free]]])
            rating = np.concatenate([chosen["rating"], np.full(num_free, np.nan)])
            found.append(
                pd.DataFrame({"user": user, "request": request, "item": item, "rating": rating})
            )
    return pd.concat(found, ignore_index=True)


def play(ratings: Ratings, teacher: Teacher, seed: int, *, is_null: bool = False) -> pd.DataFrame:
    """The candidates with what became of them: prerank_score, teacher_score, rank, position,
    stage, click. is_null: the teacher's order within a request is shuffled."""
    log = candidates(ratings, seed)
    user, item = log["user"].to_numpy(), log["item"].to_numpy()
    request = log["user"] * NUM_REQUESTS + log["request"]
    log["prerank_score"] = teacher.weak(user, item)
    kept = log.groupby(request)["prerank_score"].rank(method="first", ascending=False) <= NUM_RANKED
    score = teacher.score(user, item)
    if is_null:
        # Each request keeps its scores; who has which is drawn.
        order = np.lexsort((score, ~kept, request))
        shuffled = np.lexsort((lot("null", seed, request.to_numpy(), item), ~kept, request))
        score[shuffled] = score[order]
    log["teacher_score"] = np.where(kept, score, np.nan)
    rank = log.groupby(request)["teacher_score"].rank(method="first", ascending=False)
    log["rank"] = rank.astype("Int32")
    is_shown = (rank <= NUM_EXPOSED).to_numpy()
    log["position"] = log["rank"].where(is_shown)
    log["stage"] = np.select([is_shown, kept], ["exposed", "ranked"], "preranked")
    seen = lot("click", seed, request.to_numpy(), item) < np.nan_to_num(rank, nan=1.0) ** -0.7
    liked = (log["rating"] >= LIKED).to_numpy() & seen
    log["click"] = np.where(is_shown, liked.astype(np.float64), np.nan)
    return log


def write(ratings: Ratings, log: pd.DataFrame, folder: Path) -> None:
    """log/: one file a request number, which is a day; held_out.parquet: the third part;
    known.parquet: what each user rated before it."""
    (folder / "log").mkdir(parents=True, exist_ok=True)
    user, item = log["user"].to_numpy(), log["item"].to_numpy()
    facts = ratings.user_features[user]
    table = pa.table(
        {
            "request_id": user * NUM_REQUESTS + log["request"].to_numpy(),
            "user_id": ratings.user_ids[user],
            "request_time": pa.array([f"{DAYS[day]}T12:00:00Z" for day in log["request"]]).cast(
                pa.timestamp("us", "UTC")
            ),
            "item_id": ratings.item_ids[item],
            **{n: pa.Array.from_pandas(log[n]) for n in ("stage", "rank", "position")},
            "teacher_score": pa.Array.from_pandas(log["teacher_score"]),
            "prerank_score": pa.Array.from_pandas(log["prerank_score"]),
            "click": pa.Array.from_pandas(log["click"]),
            **{n: facts[:, at] for at, n in enumerate(("age", "gender", "occupation"))},
            "year": ratings.item_features[item, 0].astype(np.int32),
        }
    )
    pq.write_table(table, folder / "log" / "part-0.parquet")
    for name, parts in (("known", (0, 1)), ("held_out", (2,))):
        frame = ratings.frame[ratings.frame["part"].isin(parts)]
        pq.write_table(
            pa.table(
                {
                    "user_id": ratings.user_ids[frame["user"]],
                    "item_id": ratings.item_ids[frame["item"]],
                    "rating": frame["rating"].to_numpy(np.float32),
                }
            ),
            folder / f"{name}.parquet",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder ml-100k")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--null", action="store_true", help="the teacher's order shuffled")
    asked = parser.parse_args()
    ratings = read_ratings(asked.data)
    log = play(ratings, Teacher(ratings, asked.seed), asked.seed, is_null=asked.null)
    write(ratings, log, asked.out)
    print(f"{len(log):,} rows, {int(log['click'].sum()):,} clicks in {asked.out}")


if __name__ == "__main__":
    main()
