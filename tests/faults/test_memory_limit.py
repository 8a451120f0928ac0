"""DuckDB's memory limit holds: a sort larger than it spills, and the process stays near it."""

import threading

import pytest
import skew_kit as kit

from rankdistill.store.dataset import DataSet

# Beside the limit, as the README says: what is imported, and for each thread the batch that it
# works on and the rows that wait for a row group.
FIXED, A_THREAD, THREADS = 200, 500, 2  # MB
LIMIT, NUM_ROWS = 300, 5_000_000


class Watched:
    """The most bytes that lay in a folder at once while the block ran."""

    def __init__(self, folder):
        self.most, self._folder, self._end = 0, folder, threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *fault):
        self._end.set()
        self._thread.join()

    def _look(self):
        while not self._end.wait(0.1):
            try:
                held = sum(path.stat().st_size for path in self._folder.rglob("*"))
            except FileNotFoundError:  # it was there, and is gone
                continue
            self.most = max(self.most, held)


@pytest.mark.fault("29", "DuckDB with 300 MB for the sort of 5 M rows", times=1, quick=0)
def test_a_sort_beyond_the_limit_spills_and_the_process_stays_near_it(tmp_path, trial):
    source = kit.log(tmp_path, NUM_ROWS)
    (tmp_path / "spill").mkdir()
    engine = f"{{memory_limit: {LIMIT}MB, threads: {THREADS}, temp_directory: {tmp_path}/spill}}"
    with Watched(tmp_path / "spill") as spilled:
        chosen = ("--set", f"engine={engine}")
        peak, _ = kit.build(tmp_path, source, tmp_path / "feed", *chosen)
    assert spilled.most > 10e6  # compressed
    assert peak < LIMIT + FIXED + THREADS * A_THREAD
    counts = next(iter(DataSet.open(tmp_path / "feed").newest().days.values())).counts["door"]
    assert counts["rows_in"] == counts["rows_used"] == NUM_ROWS
    assert not [*(tmp_path / "spill").iterdir()]
