"""A command line that cannot be meant, told like every other fault: E0110, and what to type."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from rankdistill.errors import ConfigError, closest, render

UsageError: Any = typer.BadParameter.__mro__[1]  # typer's own, or click's: as its version has it
PROGRAM = "rankdistill"


class Verbs(TyperGroup):
    """The verbs; main() ends the process."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        if not given or options.get("standalone_mode") is False:  # no argument: --help
            return super().main(given, *more, **options)
        try:
            code = super().main(given, *more, **(options | {"standalone_mode": False}))
        except UsageError as fault:
            error = told(fault, given, self.commands)
            print(render(error), file=sys.stderr)
            code = error.exit_code
        except typer.Abort:
            code = 1
        sys.exit(code or 0)


def told(fault: Any, given: list[str], verbs: Mapping[str, Any]) -> ConfigError:
    """The fault as ours, with the command that was probably meant."""
    text = fault.format_message().split(" (Possible")[0].split(". Did you")[0].rstrip(".")
    verb = verbs.get(given[0])
    meant = _verb_meant(given, list(verbs)) if verb is None else _meant(fault, given, verb)
    return ConfigError(
        "E0110",
        f"{text[0].lower()}{text[1:]}",
        found=f"{PROGRAM} {shlex.join(given)}",
        help=f"{PROGRAM} {meant}",
    )


def _verb_meant(given: list[str], verbs: list[str]) -> str:
    near = closest(given[0], verbs)
    return shlex.join([near, *given[1:]]) if near else "--help"


def _meant(fault: Any, given: list[str], verb: Any) -> str:
    """The command with an option put right, or the one that tells which there are."""
    known = [name for parameter in verb.params for name in parameter.opts]
    wrong = getattr(fault, "option_name", None)
    if near := wrong and closest(wrong, known):
        named = [word.partition("=")[0] == wrong for word in given]
        mended = zip(given, named, strict=True)
        return shlex.join(near + word[len(wrong) :] if is_it else word for word, is_it in mended)
    file = next((word for word in given[1:] if word.endswith((".yaml", ".yml"))), None)
    if file and "--config" in known and not {"--config", "-c"} & {*given}:
        at = given.index(file)
        return shlex.join([*given[:at], "--config", *given[at:]])
    return f"{given[0]} --help"
