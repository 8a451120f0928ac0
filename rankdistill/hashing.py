"""The two hashes behind every key and every draw, vectorised over NumPy arrays.

`xxh64` names things: XXH64 (Yann Collet) with seed 42 over UTF-8 bytes, or over the eight
little-endian bytes of an int64; Spark's `xxhash64(column)` gives the same numbers.
`mix` draws: a chain of splitmix64 finalisers (Steele, Lea, Flood 2014), a counter-based
generator, so a draw depends on its arguments alone.
"""

from __future__ import annotations

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


def name_key(name: str) -> int:
    """The xxh64 of one string: for purposes of draws and names of columns."""
    return int(xxh64(pa.array([name]))[0])


def xxh64(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """XXH64 with seed 42 of each value (uint64 [n]); nulls hash to 0.

    Integers hash their eight little-endian bytes, strings and binaries their bytes.
    """
    if isinstance(column, pa.ChunkedArray):
        parts = [xxh64(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=U64)
    if pa.types.is_integer(column.type):
        words = column.fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        hashed = _short(words.view(U64).reshape(-1, 1), 8)
    else:
        hashed = _bytes(column.cast(pa.large_binary()))
    if column.null_count:
        hashed[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashed


def _bytes(column: pa.Array) -> np.ndarray:
    """Hash a large_binary array, one pass per distinct length."""
    _, offset_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[column.offset :][: len(column) + 1]
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)
    lengths = np.diff(offsets)
    hashed = np.empty(len(column), dtype=U64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        # A bounded block, so that one long id does not take length * rows of memory.
        for block in np.array_split(rows, 1 + len(rows) * int(length) // 50_000_000):
            hashed[block] = _equal_length(data, offsets[block], int(length))
    return hashed


def _equal_length(data: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    padded = np.zeros((len(starts), -(-max(length, 1) // 8) * 8), dtype=np.uint8)
    if length:
        windows = np.lib.stride_tricks.sliding_window_view(data, length)
        padded[:, :length] = windows[starts]
    words = padded.view("<u8")
    if length < 32:
        return _short(words, length)
    return _long(words, length)


def _rotl(x: np.ndarray, bits: int) -> np.ndarray:
    return (x << U64(bits)) | (x >> U64(64 - bits))


def _round(lane: np.ndarray, word: np.ndarray) -> np.ndarray:
    return _rotl(lane + word * _P2, 31) * _P1


def _short(words: np.ndarray, length: int) -> np.ndarray:
    state = np.full(len(words), SEED, dtype=U64)
    with np.errstate(over="ignore"):
        return _finish(state + _P5 + U64(length), words, length, 0)


def _long(words: np.ndarray, length: int) -> np.ndarray:
    seed = U64(SEED)
    with np.errstate(over="ignore"):
        starts = (seed + _P1 + _P2, seed + _P2, seed, seed - _P1)
        lanes = [np.full(len(words), start, dtype=U64) for start in starts]
        num_stripes = length // 32
        for stripe in range(num_stripes):
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], words[:, 4 * stripe + lane])
        state = sum(
            (_rotl(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)),
            start=np.zeros(len(words), dtype=U64),
        )
        for lane in lanes:
            state = (state ^ _round(np.zeros_like(lane), lane)) * _P1 + _P4
        return _finish(state + U64(length), words, length, num_stripes * 4)


def _finish(state: np.ndarray, words: np.ndarray, length: int, word: int) -> np.ndarray:
    """The tail of XXH64: whole words, then four bytes, then single ones, then the avalanche."""
    while (word + 1) * 8 <= length:
        state ^= _round(np.zeros_like(state), words[:, word])
        state = _rotl(state, 27) * _P1 + _P4
        word += 1
    rest = length - word * 8
    tail = words[:, word] if rest else None
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
