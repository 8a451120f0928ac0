"""Ranked lists and samples from a log, on a cluster: `rankdistill build` with the spark engine.

spark-submit --py-files dist/rankdistill.zip jobs/build_samples.py --config conf/hive_rows.yaml
"""

import sys

from rankdistill.cli import main

if __name__ == "__main__":
    # The last --engine counts: a job is always Spark's.
    main(["build", *sys.argv[1:], "--engine", "spark"])
