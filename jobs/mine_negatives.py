"""Mined negatives on a cluster: `rankdistill mine-negatives` with the spark engine.

spark-submit --py-files dist/rankdistill.zip jobs/mine_negatives.py --config mine.yaml \\
    --data /data/feed --out /data/mined
"""

import sys

from rankdistill.cli import main

if __name__ == "__main__":
    # The last --engine counts: a job is always Spark's.
    main(["mine-negatives", *sys.argv[1:], "--engine", "spark"])
