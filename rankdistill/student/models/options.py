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


class TwoTowerOptions(Options):
    """Two networks, one for the user and one for the item; their vectors meet at the end.

    dim: of an embedding row; towers: widths of the layers, the last that of the vectors.
    network: mlp, or dcn = `cross` layers of a cross network (DCN-v2, Wang et al. 2021) below the
    same layers. temperature: logits are divided by it; null: 1 for dot, 0.1 for cosine.
    """

    kind: Literal["two_tower"] = "two_tower"
    dim: int = Field(16, ge=1, le=4096)
    towers: list[Annotated[int, Field(ge=1, le=65_536)]] = Field([64, 32], min_length=1)
    network: Literal["mlp", "dcn"] = "mlp"
    cross: int = Field(2, ge=1, le=16)
    similarity: Literal["dot", "cosine"] = "dot"
    temperature: float | None = Field(None, gt=0)


Model = Annotated[FmOptions | TwoTowerOptions, Field(discriminator="kind")]
