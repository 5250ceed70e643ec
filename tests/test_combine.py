from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.index.documents.numbering import Numbering
from hybrid.index.sparse.check import check_postings
from hybrid.index.sparse.combine import SMALL, combine_postings, pack_small
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.searcher import PostingsSearcher
from hybrid.index.sparse.segment import SparseSegment
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels.sparse import search
from hybrid.kernels.sparse.layout import RANGE, TILE, Postings

WIDTH = 30
Weights = Literal["uint8", "float32"]


def segments(
    folder: Path, sizes: list[int], weights: Weights = "uint8"
) -> tuple[list[csr_matrix], list[SparseSegment]]:
    """Segments of the first one's scales; the first five terms are frequent, the last is unused."""
    rng = np.random.default_rng(5)
    chances = np.full(WIDTH, 0.004)
    chances[:5], chances[-1] = 0.7, 0
    rows, parts = [], []
    for number, size in enumerate(sizes):
        mask = rng.random((size, WIDTH)) < chances
        part = csr_matrix((mask * rng.integers(1, 256, (size, WIDTH))).astype(np.float32))
        target = folder / str(number)
        target.mkdir(parents=True)
        scales = np.ones(WIDTH, dtype=np.float32) if weights == "uint8" else None
        write_postings(
            [part],
            target,
            SparseOptions(vocabulary_size=WIDTH, weights=weights, scales=scales, order="cluster"),
        )
        rows.append(part)
        parts.append(SparseSegment.open(target))
    return rows, parts


def numbered(parts: list[SparseSegment], numbers: list[NDArray[np.int32]]) -> list[Postings]:
    return [
        part.postings._replace(order=number[part.postings.order])
        for part, number in zip(parts, numbers, strict=True)
    ]


def opened(postings: Postings, nnz: int) -> SparseSegment:
    """The postings as a segment; every number must be there once."""
    place = np.empty_like(postings.order)
    place[postings.order] = np.arange(len(place), dtype=np.int32)
    frequencies = np.zeros(len(postings.heads), dtype=np.int32)
    arrays = postings._asdict() | {"place": place, "frequencies": frequencies}
    return SparseSegment.of(arrays, {"nnz": nnz})


def searcher(postings: list[Postings]) -> PostingsSearcher:
    frequencies = np.zeros(WIDTH, dtype=np.int32)
    return PostingsSearcher.of(postings, frequencies, sum(len(each.order) for each in postings))


@pytest.mark.parametrize("weights", ["uint8", "float32"])
@pytest.mark.parametrize("kept", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("sizes", [[1500, 1, 0, 700], [3, 2], [TILE, TILE]])
def test_combined_segments_hold_the_live_documents(
    tmp_path: Path, weights: Weights, kept: float, sizes: list[int]
) -> None:
    rows, parts = segments(tmp_path, sizes, weights)
    rng = np.random.default_rng(6)
    count = sum(sizes)
    live = rng.random(count) < kept
    numbers = np.full(count, -1, dtype=np.int32)
    numbers[live] = rng.permutation(int(live.sum())).astype(np.int32)
    made = combine_postings(numbered(parts, np.split(numbers, np.cumsum(sizes)[:-1])))

    everything = csr_matrix(vstack(rows))
    expected = csr_matrix(everything[np.flatnonzero(live)[np.argsort(numbers[live])]])
    segment = opened(made, expected.nnz)
    assert check_postings(segment) == []
    found = segment.vectors(np.arange(live.sum(), dtype=np.int32))
    assert (found != expected).nnz == 0
    if weights == "uint8" and kept > 0 and count > 1000:
        assert (made.heads[:5] >= 0).all()
    if weights == "float32":
        assert (made.heads < 0).all()
    assert made.spans[-1, 0] == made.spans[-1, 1]


def test_heads_of_combined_segments_are_those_of_a_build(tmp_path: Path) -> None:
    """Streams, starts and maxima are those that a build in the same order writes."""
    sizes = [1200, 800]
    rows, parts = segments(tmp_path, sizes)
    numbers = np.arange(2000, dtype=np.int32)
    made = combine_postings(numbered(parts, np.split(numbers, [1200])))
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    everything = csr_matrix(csr_matrix(vstack(rows))[made.order])
    write_postings(
        [everything],
        fresh,
        SparseOptions(vocabulary_size=WIDTH, scales=np.ones(WIDTH, dtype=np.float32), order="none"),
    )
    built = SparseSegment.open(fresh).postings
    shared = np.flatnonzero((made.heads >= 0) & (built.heads >= 0))
    assert len(shared) == 5
    for term in shared:
        mine, theirs = made.heads[term], built.heads[term]
        np.testing.assert_array_equal(
            made.head_stream[slice(*made.spans[term])],
            built.head_stream[slice(*built.spans[term])],
        )
        np.testing.assert_array_equal(made.head_starts[mine], built.head_starts[theirs])
        np.testing.assert_array_equal(made.head_maxima[mine], built.head_maxima[theirs])


@pytest.mark.parametrize(
    ("sizes", "joinable", "expected"),
    [
        ([10], [True], [[0]]),
        ([10, 20], [True, True], [[1, 0]]),
        ([10, 20], [True, False], [[1], [0]]),
        ([SMALL + 1, 5, 6], [True] * 3, [[0], [2, 1]]),
        ([SMALL, SMALL, 1], [True] * 3, [[0, 1], [2]]),
        ([0, 0], [True] * 2, [[0, 1]]),
    ],
)
def test_groups_of_small_segments_fill_a_range(
    sizes: list[int], joinable: list[bool], expected: list[list[int]]
) -> None:
    groups = pack_small(sizes, joinable)
    assert groups == expected
    assert all(len(group) == 1 or sum(sizes[each] for each in group) <= RANGE for group in groups)


def test_what_is_searched_names_its_segments_largest_first(tmp_path: Path) -> None:
    _, parts = segments(tmp_path, [3, 900, 2])
    numbers = np.arange(905, dtype=np.int32)
    given = numbered(parts, np.split(numbers, [3, 903]))
    found = searcher(given)
    assert found.groups == [[1, 0, 2]]
    assert [len(part.order) for part in found.postings] == [905]
    other = given[2]._replace(scales=given[2].scales * np.float32(2))
    apart = searcher([given[0], given[1], other])
    assert apart.groups == [[1, 0], [2]]
    assert apart.table.same_scales.tolist() == [True, False]
    assert apart.postings[1] is other
    assert searcher(given[:2]).groups == [[1], [0]]  # too little to gain


def test_segments_of_a_large_vocabulary_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, parts = segments(tmp_path, [3, 2, 1])
    given = numbered(parts, np.split(np.arange(6, dtype=np.int32), [3, 5]))
    assert searcher(given).groups == [[0, 1, 2]]
    entries = sum(len(each.head_stream) + len(each.tail_places) for each in given)
    assert entries < 3 * WIDTH
    monkeypatch.setattr("hybrid.index.sparse.combine.LOOKS", 3 * WIDTH - 1)
    assert searcher(given).groups == [[0], [1], [2]]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_search_their_own_arrays(tmp_path: Path, copied: Callable[[Any], Any]) -> None:
    """What a search keeps holds addresses: those of the original may be gone."""
    _, parts = segments(tmp_path, [40, 30])
    owners = np.repeat(np.arange(2, dtype=np.int32), [40, 30])
    places = np.concatenate([np.arange(40), np.arange(30)]).astype(np.int32)
    query = csr_matrix(np.ones((1, WIDTH), dtype=np.float32))
    many = InvertedIndex(parts, Numbering(owners, places, (40, 30)))
    for index in (InvertedIndex(parts[:1]), many):
        expected = index.search(query, 5)
        again = copied(index)
        assert "searcher" not in again.__dict__
        for found, wanted in zip(again.search(query, 5), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_arrays_are_held_while_they_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread's first search may put arrays of its own in their place meanwhile."""
    _, parts = segments(tmp_path, [40, 30, 20])
    owners = np.repeat(np.arange(3, dtype=np.int32), [40, 30, 20])
    places = np.concatenate([np.arange(size) for size in (40, 30, 20)]).astype(np.int32)
    many = InvertedIndex(parts, Numbering(owners, places, (40, 30, 20)))
    query = csr_matrix(np.ones((1, WIDTH), dtype=np.float32))
    expected = many.search(query, 5)
    order = weakref.ref(many.searcher.postings[0].order)
    kept = search.answer
    held = []

    def answer(*given: Any) -> None:
        many.__dict__.pop("searcher")
        gc.collect()
        held.append(order() is not None)
        kept(*given)

    monkeypatch.setattr(search, "answer", answer)
    np.testing.assert_array_equal(many.search(query, 5)[0], expected[0])
    assert held == [True]
    assert order() is None
