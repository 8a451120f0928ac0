"""The quality report of a data set, from spark-submit: `rankdistill report`, run on the driver.

spark-submit --py-files dist/rankdistill.zip jobs/quality_report.py \\
    --data /data/feed --out /data/report
"""

import sys

from rankdistill.cli import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
