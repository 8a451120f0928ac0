"""YAML text -> plain data with the line and column of every key and value. Ground floor.

Scalars are those of YAML 1.2 core: booleans are `true` and `false` alone (`no` and `on` are
text), `1e3` is the number 1000.0, times and dates are text. One exception, for the sake of
ids: digits with leading zeros (`007`) stay text, where core would drop the zeros. Mapping
keys are always text, as written. Nothing in the text can name a class or run code.

Every fault is raised as UserErrors of ConfigError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from rankdistill.errors import ConfigError, Place, UserErrors

MAX_BYTES, MAX_DEPTH, MAX_ALIASES, MAX_VALUES = 1_000_000, 20, 50, 200_000

KeyPath = tuple[str | int, ...]
Locate = Callable[[int, int], Place]  # 0-based line and column -> Place

_TAG = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT, _BOOL, _NULL = (_TAG + t for t in ("str", "int", "float", "bool", "null"))
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

# PyYAML's words -> ours, by a part of its message.
_PROBLEMS = {
    "mapping values are not allowed": "a ':' stands where no key can be: the indentation is wrong,"
    " or text that holds ': ' lacks quotes",
    "could not find expected ':'": "a key without ':'",
    "expected <block end>": "the indentation does not fit the lines above",
    "while parsing a flow": "a bracket is not closed, or a comma is missing",
    "while scanning a quoted scalar": "a quote is not closed",
    "unexpected end of stream": "a quote is not closed",
    "expected a single document": "a second document begins; only one is read",
    "special characters": "a control character",
    "cannot start any token": "text that begins with this character needs quotes",
    "undefined alias": "an alias without its anchor; text that begins with * needs quotes",
    "expected alphabetic or numeric": "text that begins with * or & needs quotes",
}


@dataclass(frozen=True)
class Mark:
    """Where a value and its key stand, and how a plain scalar was spelled."""

    value: Place
    key: Place | None = None
    raw: str | None = None


def read_block(text: str, locate: Locate) -> tuple[dict[str, Any], dict[KeyPath, Mark]]:
    """`text` whose top level is a mapping, and the marks of all it holds."""
    node = _compose(text, locate)
    if not isinstance(node, yaml.MappingNode):
        kind = "empty" if node is None else "not a block of `key: value` lines"
        _stop(f"the configuration is {kind}", locate(0, 0))
    reader = _Reader(locate)
    data = reader.value(node, (), None)
    reader.finish()
    return data, reader.marks


def read_value(text: str, locate: Locate) -> tuple[Any, dict[KeyPath, Mark]]:
    """One scalar or flow collection (`[a, b]`, `{a: 1}`), as after the `=` of an override."""
    node = _compose(text, locate)
    if node is None and text.strip():
        _stop("text that begins with # needs quotes", locate(0, 0))
    if node is None:
        return None, {(): Mark(locate(0, 0), raw="")}
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        _stop("text that holds ': ' or begins with '- ' needs quotes", locate(0, 0))
    if text[node.end_mark.index :].strip():  # '#' would begin a comment
        _stop("text that holds ' #' needs quotes", locate(0, node.end_mark.column))
    reader = _Reader(locate)
    value = reader.value(node, (), None)
    reader.finish()
    return value, reader.marks


def lines_of(text: str) -> list[str]:
    """The lines as YAML counts them."""
    return _BREAK.split(text)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with our scalars and limits; it is never asked to construct."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.num_aliases = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return str(super().resolve(kind, value, implicit))
        return _tag(value) if implicit[0] else _STR

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.num_aliases += self.check_event(yaml.AliasEvent)
        self.depth += 1
        problem = None
        if self.num_aliases > MAX_ALIASES:
            problem = f"over {MAX_ALIASES} aliases"
        elif self.depth > MAX_DEPTH + 1:
            problem = f"nested over {MAX_DEPTH} levels deep"
        if problem:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, problem, mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(text: str, locate: Locate) -> yaml.Node | None:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise UserErrors([ConfigError("E0100", "over 1 MB of text", place=locate(0, 0))])
    for number, line in enumerate(lines_of(text)):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and indent != line:
            place = locate(number, indent.index("\t"))
            _stop("a tab in the indentation", place, "indent by spaces, two to a level")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = _in_our_words(f"{error.context or ''} {error.problem or ''}".strip())
        is_indentation = "indentation" in problem
        place = locate(mark.line, mark.column) if mark else locate(0, 0)
        _stop(problem, place, "keys of one block begin in one column" if is_indentation else None)
    except yaml.reader.ReaderError as error:
        before = lines_of(text[: error.position])
        _stop(_in_our_words(str(error.reason)), locate(len(before) - 1, len(before[-1])))
    except (ValueError, OverflowError):  # "\UFFFFFFFF", %YAML with a huge version
        _stop("an escape or version number out of range", locate(0, 0))


def _in_our_words(problem: str) -> str:
    if r"'\t'" in problem:
        return "a tab; use spaces"
    return next((ours for theirs, ours in _PROBLEMS.items() if theirs in problem), problem)


def _stop(problem: str, place: Place, help: str | None = None) -> NoReturn:
    raise UserErrors([ConfigError("E0101", problem, place=place, help=help)])


def _tag(text: str) -> str:
    """The tag of a plain scalar."""
    if text in _CONSTANTS:
        return _NULL if _CONSTANTS[text] is None else _BOOL
    if _INTEGER.fullmatch(text):
        return _INT
    return _FLOAT if _DECIMAL.fullmatch(text) or _NOT_FINITE.fullmatch(text) else _STR


class _Reader:
    """Turns nodes into data; notes marks and gathers faults on the way."""

    def __init__(self, locate: Locate) -> None:
        self.locate = locate
        self.marks: dict[KeyPath, Mark] = {}
        self.faults: list[ConfigError] = []

    def finish(self) -> None:
        if self.faults:
            raise UserErrors(self.faults)

    def place(self, node: yaml.Node) -> Place:
        return self.locate(node.start_mark.line, node.start_mark.column)

    def fault(self, node: yaml.Node, message: str, **parts: Any) -> None:
        self.faults.append(ConfigError("E0101", message, place=self.place(node), **parts))

    def value(self, node: yaml.Node, path: KeyPath, key: yaml.Node | None) -> Any:
        # Aliases unfold here, so the limits on depth and number are counted again.
        if len(path) >= MAX_DEPTH and not isinstance(node, yaml.ScalarNode):
            _stop(f"nested over {MAX_DEPTH} levels deep", self.place(node))
        if len(self.marks) > MAX_VALUES:
            _stop(f"over {MAX_VALUES:,} values once aliases are unfolded", self.place(node))
        key_place = self.place(key) if key else None
        if isinstance(node, yaml.ScalarNode):
            self.marks[path] = Mark(self.place(node), key_place, None if node.style else node.value)
            return self.scalar(node)
        self.marks[path] = Mark(self.place(node), key_place)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        self.check_tag(node, _TAG + "seq")
        return [self.value(entry, (*path, i), None) for i, entry in enumerate(node.value)]

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self.check_tag(node, _TAG + "map")
        data: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fault(key, "a key must be text, not a list or a block")
                continue
            self.check_tag(key, _STR if key.style else _tag(key.value))
            self.check_text(key)
            name = key.value
            if name in data:
                first = self.marks[(*path, name)].key
                found = f"first in line {first.line}" if first else None
                self.fault(key, f'the key "{name}" is given twice', found=found or "")
                continue
            data[name] = self.value(value, (*path, name), key)
        return data

    def scalar(self, node: yaml.ScalarNode) -> Any:
        self.check_text(node)
        text: str = node.value
        self.check_tag(node, _STR if node.style else _tag(text))
        if node.tag in (_NULL, _BOOL):
            return _CONSTANTS.get(text)
        if node.tag == _INT and len(text) <= 30:
            number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if -(2**63) <= number < 2**63:
                return number
        elif node.tag == _FLOAT and not _NOT_FINITE.fullmatch(text):
            real = float(text)
            if abs(real) != float("inf"):
                return real
        if node.tag in (_INT, _FLOAT):
            found = text if len(text) <= 40 else text[:40] + "..."
            wrong = "does not fit 64 bits" if node.tag == _INT else "is not a finite number"
            self.fault(node, f"{found} {wrong}", help="quote it where it is meant as text")
        return text

    def check_tag(self, node: yaml.Node, natural: str) -> None:
        # !!str on anything scalar is another way of quoting; no other tag changes a value.
        if node.tag not in (natural, _STR if isinstance(node, yaml.ScalarNode) else natural):
            shown = node.tag.replace(_TAG, "!!")
            self.fault(node, f"the tag {shown} is refused; tags are not read here")
            node.tag = natural

    def check_text(self, node: yaml.ScalarNode) -> None:
        """Joins surrogate pairs, JSON's way to write an emoji; half a pair is a fault."""
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            units = node.value.encode("utf-16-le", "surrogatepass")
            node.value = units.decode("utf-16-le", "replace")
            if "\ufffd" in node.value:
                self.fault(node, "half a surrogate pair is not a character")
