"""`explain`: what an error code, a reason of the door or a count of a build means."""

from __future__ import annotations

from rankdistill.codes import CODES
from rankdistill.counts import COUNTS, meanings
from rankdistill.errors import ConfigError, closest
from rankdistill.log.reasons import REASONS, SKIPPED
from rankdistill.quality.cookbook import cookbook


def explained(name: str) -> dict[str, str]:
    """{code, reason or count: what it means}; several where counts of several kinds are called so.

    Raises ConfigError E0107 where nothing is.
    """
    reasons = {**REASONS, **SKIPPED}
    texts = {**CODES, **reasons}
    name = name.upper() if name.upper() in texts else name
    if name in texts:
        return {name: texts[name]}
    if found := meanings(name, reasons):
        return found
    known = [*texts, *cookbook()]
    near = closest(name, [*known, *COUNTS])
    raise ConfigError(
        "E0107",
        f'code, reason, measure or count "{name}" is unknown',
        found=f"known are {', '.join(known)}, and counts like negatives.guarded.history",
        help=f"rankdistill explain {near or 'E0102'}",
    )
