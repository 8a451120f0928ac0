"""Which day and which split a request belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, Field, model_validator

from rankdistill.config import Options
from rankdistill.errors import ConfigError
from rankdistill.log.mapping import Mapping

UNDATED = "undated"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(\d+)(s|m|h|d)")
MAX_DAYS = 100_000  # of a duration: more than two centuries
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta:
    """ "6h" or "30d" as a timedelta; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is no duration; write a number and s, m, h or d, like 6h')
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > MAX_DAYS * _SECONDS["d"]:
        raise ValueError(f'"{text}" is longer than {MAX_DAYS:,} days')
    return timedelta(seconds=seconds)


def moment(text: str) -> datetime:
    """An ISO 8601 date or time; without an offset it is UTC. ValueError for anything else."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no ISO 8601 date or time, like 2026-11-01') from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _valid_moment(text: str) -> str:
    moment(text)
    return text


def valid_duration(text: str) -> str:
    duration(text)
    return text


def _valid_zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError(f'unknown time zone "{text}"; use a name like UTC or Asia/Shanghai')
    return text


Moment = Annotated[str, AfterValidator(_valid_moment)]
# Durations as users write them; the format is ours, for what is said of a wrong one.
_SPAN = {"format": "span", "pattern": "^[0-9]+[smhd]$"}
Duration = Annotated[str, AfterValidator(valid_duration), Field(json_schema_extra=_SPAN)]


class DtOptions(Options):
    """Where the partition day comes from; left out: the log's own day, else the time's date."""

    source: Literal["partition", "request_time", "constant"] | None = Field(None, alias="from")
    time_zone: Annotated[str, AfterValidator(_valid_zone)] = "UTC"
    value: str = Field(UNDATED, min_length=1, description="the day under from: constant")


class SplitOptions(Options):
    """train before train_until; valid from train_until + gap; test from valid_until."""

    train_until: Moment | None = None
    gap: Duration = "0h"
    valid_until: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> SplitOptions:
        if self.valid_until is None:
            return self
        if self.train_until is None:
            raise ValueError("valid_until needs train_until")
        if moment(self.valid_until) < moment(self.train_until) + duration(self.gap):
            raise ValueError("valid_until lies before train_until + gap")
        return self


@dataclass(frozen=True)
class Asked:
    """The days asked for: these, or those from first to last; by default all."""

    only: frozenset[str] | None = None
    first: str | None = None
    last: str | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ConfigError(
                "E0105",
                "no day lies between --from and --to",
                found=f"--from {self.first} --to {self.last}",
                help="give the earlier day first",
            )

    def __str__(self) -> str:
        if self.only is not None:
            return ",".join(sorted(self.only))
        if self.first is None and self.last is None:
            return "all"
        return f"{self.first or ''}..{self.last or ''}"

    def named(self) -> list[str]:
        """The days that were asked for one by one, or as dates from one to another."""
        if self.only is not None or self.first is None or self.last is None:
            return sorted(self.only or ())
        try:
            first, last = date.fromisoformat(self.first), date.fromisoformat(self.last)
        except ValueError:
            return []
        spelt = "%Y-%m-%d" if "-" in self.first else "%Y%m%d"
        return [f"{first + timedelta(days=n):{spelt}}" for n in range((last - first).days + 1)]

    def unwanted(self, dates: pa.Array) -> np.ndarray | None:
        """bool [R]: of a day that was not asked for; None where every day is wanted."""
        if self.only is None and self.first is None and self.last is None:
            return None
        keep = pa.repeat(pa.scalar(True), len(dates))
        if self.only is not None:
            keep = pc.is_in(dates, value_set=pa.array(sorted(self.only), pa.string()))
        if self.first is not None:
            keep = pc.and_(keep, pc.greater_equal(dates, self.first))
        if self.last is not None:
            keep = pc.and_(keep, pc.less_equal(dates, self.last))
        return ~keep.fill_null(False).to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Days:
    """The rules of dt and split, with the days asked for."""

    dt: DtOptions = DtOptions()
    split: SplitOptions = SplitOptions()
    asked: Asked = Asked()

    def source(self, has_partition: bool, has_time: bool) -> str:
        """The rule in force: the configured one, else what the log has."""
        if self.dt.source is not None:
            return self.dt.source
        return "partition" if has_partition else "request_time" if has_time else "constant"

    def is_partition(self, mapping: Mapping) -> bool:
        """Whether dt is the log's own day column."""
        has_time = mapping.request_field("request_time") is not None
        return self.source(mapping.request_field("dt") is not None, has_time) == "partition"

    def dates(self, partition: pa.Array | None, times: pa.Array | None, size: int) -> pa.Array:
        """dt of each request, string [R]; null where its source is null."""
        rule = self.source(partition is not None, times is not None)
        if rule == "partition":
            assert partition is not None
            return partition
        if rule == "request_time":
            assert times is not None
            local = times.cast(pa.timestamp("us", tz=self.dt.time_zone))
            days = pc.floor_temporal(local, unit="day").dictionary_encode()
            return pc.strftime(days.dictionary, format="%Y-%m-%d").take(days.indices)
        return pa.repeat(pa.scalar(self.dt.value), size)

    def splits(self, times: pa.Array | None, size: int) -> pa.Array:
        """train, gap, valid or test of each request, string [R]; all where nothing is split."""
        if self.split.train_until is None or times is None:
            return pa.repeat(pa.scalar("all"), size)
        train_until = moment(self.split.train_until)
        edges = [train_until, train_until + duration(self.split.gap)]
        if self.split.valid_until is not None:
            edges.append(moment(self.split.valid_until))
        micros = times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        bounds = [(edge - _EPOCH) // timedelta(microseconds=1) for edge in edges]
        index = np.searchsorted(np.array(bounds), micros, side="right")
        names = pa.array(["train", "gap", "valid", "test"])
        return names.take(pa.array(index))

    def unwanted(self, dates: pa.Array) -> np.ndarray | None:
        """bool [R]: of a day that was not asked for; None where every day is wanted."""
        return self.asked.unwanted(dates)
