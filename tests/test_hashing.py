"""XXH64 and splitmix64 against published numbers and a plain-Python reference."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankdistill.hashing import mix, name_key, splitmix64, xxh64

MASK = 2**64 - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

# The xxhash package 4.1.0, seed 42, over `pattern(n)` for n = 0 .. 100: 16 digits each.
VECTORS = (
    "98b1582b0977e7045c8a87f68bc4934a9a702b87c265cc9bbf4dd3c814a1fb9e1e57406b9cbce016"
    "6d3e8fdacb26d80eabc67b999c6a3806f4db6cda70d27a3a4ccfbc000c1b1fb2918c4b2c54b2ec43"
    "f1cf2021a24951ef98a10f8224f18b4e8f13e3321dfcdf96f4e7ad43cc4dc86e14eb9f8a661f548b"
    "83c0eac743abc710de39d8fe48a48ccd590aa9ced698e587c9fcdc94e99ca82cfff9d486b6b1e6e9"
    "6fb7659af06e90229bb83695c237365078beb30d16f63454793285c56b9f3ba8ac1b5eb0e844d897"
    "6327f77674422b39c6bf9413df69613f764cfa699f877a24b844770da69814fbe819b15f9872a780"
    "929e054a112e23350f93199627c3d5c9f733ed3ca088e217c4002d5af2978af76fd2a27a406b88f8"
    "4ed19bda1bd89645800db043ee6fc310bb3b2d71a6ff9391c134fb1b762728469dc61bbc5725d982"
    "54a625ab435b2895b94bebe62d18ddd06e52e7392524b3088dbea4186930c12738e92eaf1ff3cf49"
    "ab8d2498e1396ed1e06b1ff8b2ad730be882e38223a95dcd1b5c717df5b8bd52d9c0fa517e0aee4b"
    "825489f8cee07c2438d9388b4d2d84024b7a838d324815ca8284cbcb3549eaee90daf00683b675de"
    "31d43d6682907f33a80293a24359ec8ac9de06797b7b5bbd994e18c76294fe01ff96faf168485595"
    "9b6930261e9ca32aee989cf4559313230e112cf2a14f358d92ed3e4eaf7a42b47c85ee46b2ccdde9"
    "b34c85a8c691b6142879bba71fb2c1b3216f7f30ba1ecde0aeee106690dafb36ae16aa9ca70323ea"
    "fb64fe51e4b2e48b0a7ccb95e0964ee3420289c801b93d8cbf95699003189a96470a223a68ab5d6c"
    "b25564731a6880b0423432f35f6c9351827e05659c22cbdab2821cbe2e951d1cd1768be0fc26f574"
    "a9487db058474dd7c0e3b2f35bc084442f1df88d6edff5d9873000adfe993b6a7fdc9c07af85f481"
    "9f8627606272a298d9e8c4972f3762109060c876657713f47aa3c11a5dc1f39b80ba338017f1d734"
    "76bd4c297fd35ec30ce34fa1169025a55f42e767bbec84128e9a2fcf01e34f9476f1c04f11c10444"
    "29845660567044b468c7dc9c297075c54dea2099c8d60c22d77c80b7f6e18e6ec2b72719c41783a9"
    "2a62cba0dea83763"
)


def pattern(length: int) -> bytes:
    return bytes((7 * i + length) % 256 for i in range(length))


def reference(data: bytes, seed: int = 42) -> int:
    """XXH64 as its specification reads, one value at a time."""

    def rotate(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (64 - bits))) & MASK

    def step(lane: int, word: int) -> int:
        return rotate((lane + word * P2) & MASK, 31) * P1 & MASK

    def word(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little")

    state = seed + P5
    if len(data) >= 32:
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        for at in range(0, len(data) // 32 * 32, 32):
            lanes = [step(lane, word(at + 8 * i, 8)) for i, lane in enumerate(lanes)]
        state = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            state = ((state ^ step(0, lane)) * P1 + P4) & MASK
    state = (state + len(data)) & MASK
    for at in range(len(data) & ~31, len(data) - 7, 8):
        state = (rotate(state ^ step(0, word(at, 8)), 27) * P1 + P4) & MASK
    if len(data) & 4:
        four = word(len(data) & ~7, 4)
        state = (rotate(state ^ (four * P1 & MASK), 23) * P2 + P3) & MASK
    for at in range(len(data) & ~3, len(data)):
        state = rotate(state ^ (data[at] * P5 & MASK), 11) * P1 & MASK
    state = (state ^ (state >> 33)) * P2 & MASK
    state = (state ^ (state >> 29)) * P3 & MASK
    return state ^ (state >> 32)


def test_the_reference_gives_the_published_xxh64_of_seed_0() -> None:
    published = {b"": 0xEF46DB3751D8E999, b"a": 0xD24EC4F1A98C6E5B, b"abc": 0x44BC2CF5AD770999}
    assert {data: reference(data, seed=0) for data in published} == published


@pytest.mark.parametrize("length", range(101))
def test_xxh64_gives_the_numbers_of_the_xxhash_package(length: int) -> None:
    expected = int(VECTORS[16 * length : 16 * length + 16], 16)
    assert reference(pattern(length)) == expected
    assert xxh64(pa.array([pattern(length)])).tolist() == [expected]


@given(st.lists(st.binary(max_size=80) | st.none(), max_size=8), st.integers(0, 3))
def test_xxh64_of_binaries_is_the_references_in_any_slice(values: list, skip: int) -> None:
    column = pa.array(values, pa.binary()).slice(skip)
    assert xxh64(column).tolist() == [0 if v is None else reference(v) for v in values[skip:]]


@given(st.lists(st.text(max_size=40), max_size=8))
def test_xxh64_of_text_is_that_of_its_utf8_bytes(values: list[str]) -> None:
    expected = [reference(v.encode()) for v in values]
    for kind in (pa.string(), pa.large_string()):
        assert xxh64(pa.array(values, kind)).tolist() == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=8), st.integers(0, 3))
def test_xxh64_of_integers_hashes_eight_little_endian_bytes(values: list, skip: int) -> None:
    expected = [
        0 if v is None else reference(v.to_bytes(8, "little", signed=True)) for v in values[skip:]
    ]
    assert xxh64(pa.array(values, pa.int64()).slice(skip)).tolist() == expected


def test_xxh64_of_one_is_what_spark_prints_for_xxhash64_of_bigint_1() -> None:
    assert xxh64(pa.array([1])).view(np.int64).tolist() == [-7001672635703045582]


def test_an_integer_hashes_alike_in_every_width() -> None:
    widths = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32())
    assert len({int(xxh64(pa.array([7], width))[0]) for width in widths}) == 1


def test_a_number_and_its_text_hash_apart() -> None:
    assert xxh64(pa.array([1]))[0] != xxh64(pa.array(["1"]))[0]


def test_chunks_hash_as_their_whole() -> None:
    chunked = pa.chunked_array([["a", None], [], ["longer than one word"]], pa.string())
    assert xxh64(chunked).tolist() == xxh64(chunked.combine_chunks()).tolist()
    assert xxh64(pa.chunked_array([], pa.string())).tolist() == []


def test_name_key_is_the_hash_of_the_name() -> None:
    assert name_key("pairwise") == reference(b"pairwise")


def test_splitmix64_gives_the_published_sequence_of_seed_0() -> None:
    golden = 0x9E3779B97F4A7C15
    states = np.array([i * golden & MASK for i in range(3)], dtype=np.uint64)
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert splitmix64(states).tolist() == published


def one_mix(*parts: int) -> int:
    state = 0
    for part in parts:
        z = ((state ^ (part & MASK)) + 0x9E3779B97F4A7C15) & MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        state = z ^ (z >> 31)
    return state


@given(
    st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=4),
    st.lists(st.integers(0, 2**64 - 1), max_size=4),
)
def test_mix_is_a_chain_of_splitmix64_over_scalars_and_arrays(ints: list, array: list) -> None:
    mixed = mix(*ints, np.array(array, dtype=np.uint64))
    assert mixed.tolist() == [one_mix(*ints, value) for value in array]


def test_mix_leaves_its_arguments_as_they_were() -> None:
    part = np.arange(3, dtype=np.uint64)
    mix(1, part, part)
    assert part.tolist() == [0, 1, 2]


def test_mix_depends_on_the_order_of_its_parts() -> None:
    assert int(mix(1, 2)) != int(mix(2, 1))


def test_mix_spreads_counters_evenly_over_the_unit_interval() -> None:
    buckets = np.bincount(mix(42, np.arange(64_000)) >> np.uint64(58), minlength=64)
    chi_squared = ((buckets - 1000) ** 2 / 1000).sum()
    assert chi_squared < 63 + 5 * (2 * 63) ** 0.5
