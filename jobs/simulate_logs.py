"""A cascade log with known truth, from spark-submit: `rankdistill simulate`, run on the driver.

spark-submit --py-files dist/rankdistill.zip jobs/simulate_logs.py --out logs --set days=7
"""

import sys

from rankdistill.cli import main

if __name__ == "__main__":
    main(["simulate", *sys.argv[1:]])
