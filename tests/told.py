"""What an action that meets the user's faults says: for the tests of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rankdistill.errors import ConfigError, UserError, UserErrors


def told(action: Any, *arguments: Any) -> list[str]:
    """line:column code message, found and help of each error that `action` raises."""
    with pytest.raises(UserErrors) as caught:
        action(*arguments)
    errors = caught.value.errors
    assert all(type(error) is ConfigError and error.place for error in errors)
    return [
        f"{e.place.line}:{e.place.column} {e.code} {e.message} | {e.found} | {e.help}"
        for e in errors
        if e.place
    ]


def outcome(action: Any, *arguments: Any) -> tuple[Any, Sequence[UserError]]:
    try:
        return action(*arguments), ()
    except UserErrors as found:
        return None, found.errors
