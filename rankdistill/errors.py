"""Errors meant for the user: a code, one sentence, where, what was found, what to do.

Ground floor: every room raises these, only `cli` and `jobs` print them. Faults of our
own are `assert`s, never one of these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# What may be a secret in a URL: name:password@ (the password may hold slashes, a port is none),
# name@ (a token, but for the containers of abfss:// and wasbs://), and all behind ? or #
# (signatures, SAS tokens).
_LOGIN = re.compile(
    r"(?<=://)([^\s/?#\"'@:]*:(?!\d{1,5}/)[^\s\"']*"
    r"|(?<!abfs://)(?<!abfss://)(?<!wasb://)(?<!wasbs://)[^\s/?#\"']*)@"
)
_SIGNED = re.compile(r"(\w://[^\s?#\"']*)[?#][^\s\"']*[^\s\"',.;)]")
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
# Exit code by family of codes (the two digits after the E).
EXIT_CODES = {"01": 2, "02": 4, "03": 3, "04": 4, "05": 6, "06": 3}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A spot in a text file; `line` and `column` start at 1."""

    file: str
    line: int
    column: int
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", without_secrets(self.text))


def without_secrets(text: str) -> str:
    """`text` with *** for logins and queries of the URLs in it."""
    if "://" not in text:
        return text
    return _SIGNED.sub(r"\1?***", _LOGIN.sub("***@", text))


class UserError(Exception):
    """One fault that the user can mend. `code` is like "E0102".

    key: the path in the configuration that it is about, for who knows the file to tell `place`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Place | None = None,
        found: str | None = None,
        help: str | None = None,
        key: tuple[str | int, ...] | None = None,
    ) -> None:
        message = without_secrets(message)
        found, help = found and without_secrets(found), help and without_secrets(help)
        super().__init__(f"error[{code}]: {message}")
        assert code[0] == "E" and code[1:3] in EXIT_CODES, code
        self.code, self.message, self.place, self.found, self.help = (
            code,
            message,
            place,
            found,
            help,
        )
        self.key = key

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.code[1:3]]

    def __reduce__(self) -> tuple[object, ...]:  # crosses process borders (Spark workers)
        state = (self.code, self.message, self.place, self.found, self.help)
        return (_rebuild, (type(self), state))


def _rebuild(kind: type[UserError], state: tuple) -> UserError:
    code, message, place, found, help = state
    return kind(code, message, place=place, found=found, help=help)


class ConfigError(UserError):
    """E01xx: the configuration or the column mapping is wrong."""


def unknown(
    code: str, what: str, name: str, known: Sequence[str], ask: str, place: Place | None = None
) -> ConfigError:
    """The error of a name that is none of `known`; `ask` and a name that is, is what to give."""
    near = closest(name, known)
    return ConfigError(
        code,
        f'{what} "{name}" is unknown',
        place=place,
        found=f"known are {', '.join(known)}",
        help=f"{ask}{near}" if near else f"give one of these: {ask}{known[0]}",
    )


class PlaceError(UserError):
    """E02xx: a folder, a table or a version is not where or what it should be."""


class InputError(UserError):
    """E03xx: the input breaks the contract."""


class ResourceError(UserError):
    """E04xx: the environment lacks something (Java, memory, disk, a package)."""


class GateError(UserError):
    """E0602: a quality gate failed. The samples are as asked, and not good enough."""

    @property
    def exit_code(self) -> int:
        return 1


class TrainingError(UserError):
    """E05xx: training stopped, with what there is to look at."""


class UserErrors(Exception):
    """Several faults found together; at least one."""

    def __init__(self, errors: Sequence[UserError]) -> None:
        assert errors
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)

    @property
    def exit_code(self) -> int:
        return self.errors[0].exit_code


def render(error: UserError) -> str:
    """The error as the terminal shows it: up to five parts, each on lines of its own."""
    lines = [f"error[{error.code}]: {printable(error.message)}"]
    if error.place:
        place = error.place
        where = f"{place.file}:{place.line}:{place.column}   "
        # A command line has no lines to count: the override is named by its text.
        shown = f"{'--set' if place.file == '--set' else where} {printable(place.text.strip())}"
        lines.append(f"  --> {shown.rstrip()}")
    if error.found:
        lines.append(f"  found   : {_indented(error.found)}")
    if error.help:
        lines.append(f"  help    : {_indented(error.help)}")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return printable(text).replace("\n", "\n            ")


def printable(text: str, *, limit: int = 2000) -> str:
    """`text` without control characters (terminal escapes), cut at `limit` characters."""
    clean = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
    return clean if len(clean) <= limit else clean[:limit] + "..."


def on_a_line(text: str) -> str:
    """`text` without control characters and line breaks: an id that stands amid other words."""
    return printable(text).replace("\n", "\\n")


def beside(path: str | Path, fits: Callable[[Path], bool] = os.path.lexists) -> Path | None:
    """What lies beside `path`, which is not there, under a like name; None where nothing does."""
    folder, name = Path(path).parent, Path(path).name
    try:
        near = closest(name, [each.name for each in folder.iterdir() if fits(each)])
    except OSError:  # advice must not fail over what it advises on
        return None
    return folder / near if near not in (None, name) else None


def closest(name: str, known: Sequence[str]) -> str | None:
    """The known name nearest to `name`, or None where nothing is near. Q7 is Q07, not Q17."""
    import difflib

    lowered = {k.lower(): k for k in known}
    same = {_LEADING_ZEROS.sub("", k): k for k in lowered}.get(_LEADING_ZEROS.sub("", name.lower()))
    if same is not None:
        return lowered[same]
    near = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[near[0]] if near else None
