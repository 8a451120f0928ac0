"""What is asked of the options of every sample kind."""

from __future__ import annotations

from typing import Literal

from rankdistill.config import Options

# What a kernel may have to be given beside the lists; see `samples.side`.
Need = Literal["catalogue", "history", "future", "mined"]


class SampleOptions(Options):
    """Base of the options of a kind."""

    @property
    def needs(self) -> frozenset[Need]:
        """What the kernel must be given beside the lists: then it waits for the second pass."""
        return frozenset()

    @property
    def counts(self) -> frozenset[str]:
        """The counts of the catalogue that are looked at: click, positive, exposed, ..."""
        return frozenset()
