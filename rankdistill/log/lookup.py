"""Columns looked up in a source's schema: aliases for what is found, errors for what is not."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

import pyarrow as pa

from rankdistill.errors import ConfigError, InputError, UserError, closest
from rankdistill.log.casts import cast, kind_fault
from rankdistill.log.source import Column, LogOptions, TableSource

TEXT_FORMATS = ("csv", "tsv", "trec")

Path = tuple[str, ...]


@dataclass(frozen=True)
class MappedField:
    """One canonical column: its kind of cast and the aliases it reads."""

    name: str
    kind: str
    column: Column
    aliases: tuple[str, ...]
    place: str


class Lookup:
    """Gives each source path an alias, prefix0, prefix1, ..., and collects what is wrong.

    where: the block of the configuration that `options` are. lists: candidate columns must be
    lists.
    """

    def __init__(
        self, options: TableSource, schema: pa.Schema, *, where: str = "log", prefix: str = "s"
    ) -> None:
        self.options, self.schema, self.where, self.prefix = options, schema, where, prefix
        self.lists = isinstance(options, LogOptions) and options.layout == "lists"
        self.aliases: dict[Path, str] = {}
        self.errors: list[UserError] = []

    def field(
        self, name: str, kind: str, column: Column, place: str, *, listed: bool = False
    ) -> MappedField:
        """The canonical column `name`, configured at `place`."""
        if column.read_as is not None and kind != "id":
            self._add(
                ConfigError(
                    "E0105",
                    f"{self.where}.{place}: as is for request_id, user_id and item_id",
                    found=f"as: {column.read_as}",
                    help="leave it out: every other column has its one type",
                ),
                place,
            )
        elif column.read_as is not None:
            kind = f"{column.read_as}_id"
        if column.constant is not None:
            self._check_constant(name, kind, column, place)
        aliases = [self.alias(path, place) for path in column.paths()]
        if None not in aliases:
            self._check_types(kind, column, place, listed)
        found = tuple(alias for alias in aliases if alias is not None)
        return MappedField(name, kind, column, found, f"{self.where}.{place}")

    def alias(self, path: Path, place: str) -> str | None:
        """The alias of a path; None, and an error, where the source has no such column."""
        path = self._literal(path)
        if self.type_at(path) is None:
            self._add(self._unknown(path, place), place)
            return None
        return self.aliases.setdefault(path, f"{self.prefix}{len(self.aliases)}")

    def type_named(self, name: str, place: str) -> pa.DataType | None:
        """The type of the column `name`, or of the field a.b; None, and an error, without one."""
        path = self._literal(tuple(name.split(".")))
        kind = self.type_at(path)
        if kind is None:
            self._add(self._unknown(path, place), place)
        return kind

    @property
    def paths(self) -> dict[str, Path]:
        return {alias: path for path, alias in self.aliases.items()}

    def type_of(self, mapped: MappedField) -> pa.DataType | None:
        """The type of the one source column of a field; None where it has none or several."""
        (alias,) = mapped.aliases if len(mapped.aliases) == 1 else (None,)
        return None if alias is None else self.type_at(self.paths[alias])

    def type_at(self, path: Path) -> pa.DataType | None:
        """The type at `path`; inside a list of structs, the list of the field's type."""
        if path[0] not in self.schema.names:
            return None
        kind, in_list = self.schema.field(path[0]).type, False
        for part in path[1:]:
            if is_list(kind):
                kind, in_list = kind.value_type, True
            if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
                return None
            kind = kind.field(part).type
        return pa.list_(kind) if in_list else kind

    def missing(self, name: str) -> None:
        """Say that a column which must be there is not mapped."""
        near = closest(name, self.schema.names)
        self._add(
            ConfigError(
                "E0102",
                f"{self.where}.columns.{name} is not mapped and the input has no such column",
                found=self._known(),
                help=f"--set {self.where}.columns.{name}={near or 'COLUMN'}",
            ),
            f"columns.{name}",
        )

    def _add(self, fault: UserError, place: str) -> None:
        fault.key = key_of(f"{self.where}.{place}")
        self.errors.append(fault)

    def _literal(self, path: Path) -> Path:
        """A name with dots is taken literally where the source has such a column."""
        name = ".".join(path)
        return (name,) if name in self.schema.names else path

    def _check_types(self, kind: str, column: Column, place: str, listed: bool) -> None:
        for path in column.paths():
            found = self.type_at(self._literal(path))
            assert found is not None
            fault = None
            if listed and not is_list(found):
                fault = "must be a list in layout: lists"
                help = f"set {self.where}.layout=rows if it has one row per request and item"
            else:
                inner = found.value_type if listed else found
                text = self.options.format in TEXT_FORMATS
                if not column.hash_of:
                    fault = kind_fault(kind, inner, column.unit, text=text)
                help = self._cure(kind, inner, column, place)
            if fault is not None:
                said = f'column "{".".join(path)}" ({self.where}.{place}) {fault}'
                self._add(InputError("E0304", said, found=str(found), help=help), place)

    def _cure(self, kind: str, found: pa.DataType, column: Column, place: str) -> str:
        """What may be done where a column's type does not do."""
        if kind == "time" and pa.types.is_integer(found) and column.unit is None:
            named = f"{{column: {'.'.join(column.paths()[0])}, unit: s}}"
            return f"--set '{self.where}.{place}={named}', if it counts seconds"
        if place.startswith("columns.feedback."):
            return f"map another column, or take it out of {self.where}.columns.feedback"
        return f"map another column, or --set {self.where}.{place}=null to leave it out"

    def _check_constant(self, name: str, kind: str, column: Column, place: str) -> None:
        fault = None
        if name in ("request_id", "item_id"):
            fault = "cannot be a constant: it tells rows apart"
        else:
            value = pa.array([column.constant])
            fault = kind_fault(kind, value.type, column.unit, text=True)
            if fault is None and cast(kind, value, column.unit)[1] is not None:
                fault = "cannot be read as what it is mapped to"
        if fault is not None:
            self._add(
                ConfigError(
                    "E0104",
                    f"the constant of {self.where}.{place} {fault}",
                    found=repr(column.constant),
                    help="give another constant, or name a column",
                ),
                place,
            )

    def _unknown(self, path: Path, place: str) -> ConfigError:
        name = ".".join(path)
        hint = self._renamed(name, place)
        if hint is None:
            near = closest(name, self._names())
            hint = f'did you mean "{near}"?   ' if near else "map it: "
            hint += f"--set {self.where}.{place}={near or 'COLUMN'}"
        return ConfigError(
            "E0102",
            f'column "{name}" ({self.where}.{place}) is not in the input',
            found=self._known(),
            help=hint,
        )

    def _renamed(self, name: str, place: str) -> str | None:
        """The advice where an own column is called as the column that is not there (a list of
        names): to map that name to another column would keep what may be a typo."""
        _, _, rest = place.partition("columns.")
        group, _, own = rest.partition(".")
        mapped: dict[str, Column] = getattr(getattr(self.options, "columns", None), group, {})
        if own != name or own not in mapped:
            return None
        near = closest(name, [n for n in self._names() if n not in mapped])
        where = f"{self.where}.columns.{group}"
        if near is None:
            return f"name columns that are there, or leave {name} out of {where}"
        if any(column != Column(column=n) for n, column in mapped.items()):
            return f'did you mean "{near}"? rename it in {where}'
        names = json.dumps([near if n == name else n for n in mapped], ensure_ascii=False)
        return f'did you mean "{near}"?   --set {shlex.quote(f"{where}={names}")}'

    def _names(self) -> list[str]:
        """Columns, and the fields of structs (and of lists of structs) as a.b."""
        names = []
        for field in self.schema:
            names.append(field.name)
            kind = field.type.value_type if is_list(field.type) else field.type
            if pa.types.is_struct(kind):
                names += [f"{field.name}.{inner.name}" for inner in kind]
        return names

    def _known(self) -> str:
        names = self.schema.names
        return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")


def key_of(place: str) -> tuple[str | int, ...]:
    """The path in the configuration of a `place` like log.where.0.value."""
    return tuple(int(step) if step.isdecimal() else step for step in place.split("."))


def is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind)


def unlike_ids(
    pair: str, other: MappedField, of: Lookup, wanted: pa.DataType, found: str, also: str = ""
) -> InputError:
    """Ids of the log and of `other` that never meet. pair: what both are called; of: the look-up
    of the other table; wanted: what the log's ids are read as; also: a further way out."""
    read_as = "int" if wanted == pa.int64() else "text"
    column = ".".join(of.paths[other.aliases[0]])
    return InputError(
        "E0304",
        f'{pair} never meet: 1 is not "1"',
        found=found,
        help=f'--set {other.place}={{column: "{column}", as: {read_as}}} reads it as the '
        f"log's{also}",
        key=key_of(other.place),
    )
