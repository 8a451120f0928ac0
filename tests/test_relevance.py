"""The command behind the tables of docs/negatives.md: its truth is the simulator's, its shares
are those of a plain count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.judged import CLICK_PROBABILITY, probability, simulated
from bench.relevance import NUM, Log, only, ranks
from rankdistill.log.simulate import SimulateOptions, simulate


@pytest.fixture(scope="module")
def log():
    return Log(simulated(150), NUM)


def test_the_truth_of_any_pair_is_what_the_simulator_wrote_of_it(tmp_path):
    options = SimulateOptions(num_requests=20, days=2, num_users=50, num_items=500)
    made = simulate(tmp_path, options)
    files = sorted((made.out / "truth").glob("dt=*/*.parquet"))
    table = pa.concat_tables([pq.ParquetFile(file).read() for file in files]).combine_chunks()
    ids = (table.column(name).chunk(0) for name in ("request_id", "item_id"))
    assert (probability(options, *ids) == table.column("click_probability").to_numpy()).all()


def test_a_band_drawn_whole_has_the_share_of_a_plain_count(log):
    lists = log.judged.lists
    rank, shown = lists.teacher_rank, lists.exposed
    found = log.drawn(ranks(41, 55))
    kept = np.flatnonzero((rank >= 41) & (rank <= 55) & ~shown)
    request_id = lists.requests.column("request_id").take(lists.request[kept])
    relevant = log.judged.relevant(request_id, lists.candidates.column("item_id").take(kept))
    # What the user had clicked before is kept out: a handful of all.
    assert 0.98 * len(kept) <= found.rows.sum() <= len(kept)
    assert abs(log.share(found)[0] - relevant.mean()) < 0.005


def test_the_relevant_share_falls_from_band_to_band(log):
    bands = [log.drawn(ranks(first, first + 9)) for first in (11, 21, 31)]
    shares = [log.share(sums)[0] for sums in (log.positives(), *bands, log.drawn(only("uniform")))]
    assert shares[0] > shares[1] > shares[2] > shares[3]
    assert 0 < CLICK_PROBABILITY < 1 and shares[0] > 3 * shares[4]


def test_a_tail_is_matched_by_itself(log):
    sums = log.drawn(ranks(25))
    first, share = log.matched(log.mean_rank(sums))
    assert first == pytest.approx(25)
    assert share == pytest.approx(log.share(sums))
