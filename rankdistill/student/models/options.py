"""The students by name, and what they are told. Knows no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rankdistill.config import Options


class FmOptions(Options):
    """A factorization machine (Rendle 2010): linear terms and the inner products of all pairs
    of fields. It folds exactly into user vector . item vector."""

    kind: Literal["fm"] = "fm"
    dim: int = Field(32, ge=1, le=4096)


Model = Annotated[FmOptions, Field(discriminator="kind")]
