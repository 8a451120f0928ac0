"""`python -m rankdistill`."""

from rankdistill.cli import main

main()
