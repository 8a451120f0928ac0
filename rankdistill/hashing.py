"""The two hashes behind every key and every draw, vectorised over NumPy arrays.

`xxh64` names things: XXH64 (Yann Collet) with seed 42 over UTF-8 bytes, or over the eight
little-endian bytes of an int64; Spark's `xxhash64(column)` gives the same numbers.
`mix` draws: a chain of splitmix64 finalisers (Steele, Lea, Flood 2014), a counter-based
generator, so a draw depends on its arguments alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

U64 = np.uint64
SEED = 42
_P1, _P2, _P3, _P4, _P5 = (
    U64(0x9E3779B185EBCA87),
    U64(0xC2B2AE3D27D4EB4F),
    U64(0x165667B19E3779F9),
    U64(0x85EBCA77C2B2AE63),
    U64(0x27D4EB2F165667C5),
)
_GOLDEN = U64(0x9E3779B97F4A7C15)
_BLOCK = 2**15  # rows hashed at once: they stay in cache
_MIX1, _MIX2 = U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB)


def splitmix64(x: np.ndarray) -> np.ndarray:
    """The splitmix64 output function of state `x` (uint64 [...] -> uint64 [...])."""
    with np.errstate(over="ignore"):
        z = x + _GOLDEN
        z ^= z >> U64(30)
        z *= _MIX1
        z ^= z >> U64(27)
        z *= _MIX2
        z ^= z >> U64(31)
    return z


def mix(*parts: int | np.ndarray) -> np.ndarray:
    """One uint64 per broadcast element of `parts`: integers (scalars or arrays), in order."""
    state = np.zeros((), dtype=U64)
    for part in parts:
        state = splitmix64(np.asarray(state ^ as_u64(part)))
    return state


def as_u64(x: int | np.ndarray) -> np.ndarray:
    """`x` reinterpreted modulo 2^64."""
    if isinstance(x, int):
        return np.asarray(x & 0xFFFF_FFFF_FFFF_FFFF, dtype=U64)
    return x if x.dtype == U64 else x.astype(np.int64, copy=False).view(U64)


def unit(bits: np.ndarray) -> np.ndarray:
    """The highest 53 bits as a float64 in [0, 1)."""
    return (bits >> U64(11)) * 2.0**-53


@cache
def name_key(name: str) -> int:
    """The xxh64 of one string: for purposes of draws and names of columns."""
    text = name.encode()
    ends = pa.py_buffer(np.array([0, len(text)], dtype=np.int64))
    # pa.array would load pandas where it is installed, half a second.
    return int(xxh64(pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(text)))[0])


def xxh64(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """XXH64 with seed 42 of each value (uint64 [n]); nulls hash to 0.

    Integers hash their eight little-endian bytes, strings and binaries their bytes.
    """
    if isinstance(column, pa.ChunkedArray):
        parts = [xxh64(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=U64)
    if pa.types.is_integer(column.type):
        values = column.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        hashed = np.empty(len(values), dtype=U64)
        for start in range(0, len(values), _BLOCK):
            block = slice(start, start + _BLOCK)
            hashed[block] = _hash(_Integers(values[block].view(U64)))
    else:
        hashed = _bytes(column.cast(pa.large_binary()))
    if column.null_count:
        hashed[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashed


def light(column: pa.Array) -> np.ndarray:
    """A hash of each value (uint64 [n]; integers or strings, no nulls) at a third of the price
    of xxh64, for figures that no row depends on. Equal in every engine."""
    if pa.types.is_integer(column.type):
        return splitmix64(column.cast(pa.int64()).to_numpy(zero_copy_only=False).view(U64))
    offsets, data = _raw(column.cast(pa.large_binary()))
    first, last = int(offsets[0]), int(offsets[-1])
    words = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
    starts, lengths = offsets[:-1] - first, np.diff(offsets)
    state = splitmix64(lengths.view(U64))
    for word in range(-(-int(lengths.max(initial=0)) // 8)):
        rest = np.clip(lengths - 8 * word, 0, 8)
        value = words.take(np.minimum(starts + 8 * word, last - first))
        value &= _LOW_BYTES[rest]
        state = np.where(rest > 0, splitmix64(state ^ value), state)
    return state


_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=U64)


class _Integers:
    """Rows of eight bytes each (uint64 [n]), as `_Words`."""

    length = 8

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, word: int) -> np.ndarray:
        return self._values


class _Words:
    """Rows of equal length in bytes, read as little-endian words on demand."""

    def __init__(self, data: np.ndarray, starts: np.ndarray, length: int) -> None:
        # `data` has eight spare bytes at its end, so that every start can be read as a word.
        self._unaligned = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
        self._starts, self.length = starts, length

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, word: int) -> np.ndarray:
        values = self._unaligned[self._starts + 8 * word]
        rest = self.length - 8 * word
        return values if rest >= 8 else values & U64((1 << (8 * rest)) - 1)


def _raw(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The offsets of a large_binary array (int64 [n + 1]), and its bytes from the first one on
    with eight spare ones, so that every start can be read as a word."""
    _, offset_buffer, data_buffer = column.buffers()
    if not len(column):
        return np.zeros(1, dtype=np.int64), np.zeros(8, dtype=np.uint8)
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[column.offset :][: len(column) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.zeros(last - first + 8, dtype=np.uint8)
    data[: last - first] = np.frombuffer(data_buffer or b"", dtype=np.uint8)[first:last]
    return offsets, data


def _bytes(column: pa.Array) -> np.ndarray:
    """Hash a large_binary array, one pass per distinct length."""
    offsets, data = _raw(column)
    first = offsets[0]
    starts, lengths = offsets[:-1] - first, np.diff(offsets)
    hashed = np.empty(len(column), dtype=U64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for block in np.array_split(rows, 1 + len(rows) // _BLOCK):
            hashed[block] = _hash(_Words(data, starts[block], int(length)))
    return hashed


def _hash(words: _Words | _Integers) -> np.ndarray:
    seed, length = U64(SEED), words.length
    with np.errstate(over="ignore"):
        if length < 32:
            return _finish(np.full(len(words), seed + _P5 + U64(length)), words, 0)
        starts = (seed + _P1 + _P2, seed + _P2, seed, seed - _P1)
        lanes = [np.full(len(words), start, dtype=U64) for start in starts]
        num_stripes = length // 32
        for stripe in range(num_stripes):
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], words[4 * stripe + lane])
        state = np.zeros(len(words), dtype=U64)
        for lane_state, bits in zip(lanes, (1, 7, 12, 18), strict=True):
            state += _rotl(lane_state, bits)
        for lane_state in lanes:
            state = (state ^ _round(np.zeros_like(lane_state), lane_state)) * _P1 + _P4
        return _finish(state + U64(length), words, num_stripes * 4)


def _rotl(x: np.ndarray, bits: int) -> np.ndarray:
    return (x << U64(bits)) | (x >> U64(64 - bits))


def _round(lane: np.ndarray, word: np.ndarray) -> np.ndarray:
    return _rotl(lane + word * _P2, 31) * _P1


def _finish(state: np.ndarray, words: _Words | _Integers, word: int) -> np.ndarray:
    """The tail of XXH64: whole words, then four bytes, then single ones, then the avalanche."""
    length = words.length
    while (word + 1) * 8 <= length:
        state ^= _round(np.zeros_like(state), words[word])
        state = _rotl(state, 27) * _P1 + _P4
        word += 1
    rest = length - word * 8
    tail = words[word] if rest else None
    if rest >= 4:
        assert tail is not None
        state ^= (tail & U64(0xFFFFFFFF)) * _P1
        state = _rotl(state, 23) * _P2 + _P3
    for byte in range(rest & ~3, rest):
        assert tail is not None
        state ^= ((tail >> U64(8 * byte)) & U64(0xFF)) * _P5
        state = _rotl(state, 11) * _P1
    state ^= state >> U64(33)
    state *= _P2
    state ^= state >> U64(29)
    state *= _P3
    state ^= state >> U64(32)
    return state


def hash_rows(rows: pa.RecordBatch) -> np.ndarray:
    """A hash of each row's values, column by column in order (uint64 [n])."""
    state = np.zeros(rows.num_rows, dtype=U64)
    for column in rows.columns:
        simple = pa.types.is_integer(column.type) or pa.types.is_string(column.type)
        state = mix(state, xxh64(column if simple else as_text(column)))
    return state


def as_text(column: pa.Array) -> pa.Array:
    """Each value as text, string [n]."""
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:  # nested values
        return pa.array([None if v is None else repr(v) for v in column.to_pylist()], pa.string())
