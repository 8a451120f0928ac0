"""One small log to samples, its hashes kept: a refactor leaves them untouched.

A change of behaviour explains its diff in the changelog and raises KERNEL_VERSION; the new
figures are written by `RANKDISTILL_WRITE_GOLDEN=1 pytest tests/test_golden.py`.
"""

import json
import os
from pathlib import Path

from rankdistill.build import build
from rankdistill.contract import resource
from rankdistill.document import read_document
from rankdistill.log.simulate import SimulateOptions, simulate
from rankdistill.settings import settings_of
from rankdistill.store.dataset import DataSet

GOLDEN = Path(__file__).parent / "golden" / "demo.json"


def test_the_demo_config_on_a_fixed_log_gives_the_kept_hashes(tmp_path):
    simulated = simulate(tmp_path / "simulated", SimulateOptions(num_requests=60, days=2))
    text = resource("conf", "demo.yaml").read_text(encoding="utf-8")
    places = [f"log.path={simulated.log}", f"output={tmp_path / 'feed'}"]
    made = build(settings_of(read_document(text, "demo.yaml"), places))

    data_set = DataSet.open(tmp_path / "feed")
    found = {
        "content": {
            table: str(data_set.content_hash(table))
            for table in made.build.tables
            if table != "metrics"  # what measures say of the rows, not rows
        },
        "counts": {dt: dict(sorted(counts.items())) for dt, counts in made.by_dt.items()},
    }
    if os.environ.get("RANKDISTILL_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())
