from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels import reference
from hybrid.kernels.sparse import bounds as kernel
from hybrid.kernels.sparse import layout, picking, pruning, tiles


def made(tmp_path, seed, rows, terms, density, **options):
    documents = random(rows, terms, density=density, format="csr", random_state=seed)
    documents = csr_matrix(documents, dtype=np.float32)
    documents.sort_indices()
    write_postings([documents], tmp_path, SparseOptions(vocabulary_size=terms, **options))
    return InvertedIndex.open(tmp_path)


def in_order(index):
    """The stored rows, as they stand inside the index."""
    return index.vectors(np.asarray(index.segments[0].postings.order))


def query_of(terms, seed):
    query = random(1, terms, density=0.4, format="csr", random_state=seed, dtype=np.float32)
    query.sort_indices()
    return csr_matrix(query, dtype=np.float32)


def codes_of(index):
    """The stored codes, in the index's own order."""
    stored = in_order(index)
    stored.data = np.rint(stored.data / index.segments[0].postings.scales[stored.indices])
    return stored


def tile_bounds(index, query):
    terms = query.indices.astype(np.int32)
    steps = np.zeros(len(terms), dtype=np.uint16)
    table = np.zeros((len(terms), 256), dtype=np.uint16)
    unit = kernel.counts_of(index.segments[0].postings, terms, query.data, steps, table, False)
    bounds = np.full(-(-index.doc_count // layout.TILE), -7, dtype=np.int32)
    highest = kernel.bound(index.segments[0].postings, terms, steps, table, bounds)
    assert highest == bounds.max(initial=0)
    return bounds, unit


@pytest.mark.parametrize("head_fill", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("rows", [1, 16, 17, 1500])
def test_bounds_are_the_reference(tmp_path, head_fill, rows):
    index = made(tmp_path, 1, rows, 40, 0.2, head_fill=head_fill, order="cluster")
    query = query_of(40, 2)
    bounds, unit = tile_bounds(index, query)
    heads = np.asarray(index.segments[0].postings.heads) >= 0
    expected, expected_unit = reference.block_bounds(
        codes_of(index), index.segments[0].postings.scales, query, heads, layout.BLOCK
    )
    padded = np.zeros(len(bounds) * (layout.TILE // layout.BLOCK), dtype=np.int64)
    padded[: len(expected)] = expected
    assert unit == expected_unit
    assert bounds.tolist() == padded.reshape(len(bounds), -1).max(axis=1).tolist()


def test_bounds_reach_over_ranges(tmp_path):
    rows = layout.RANGE + 300
    index = made(tmp_path, 8, rows, 12, 0.1, head_fill=0.99, order="none")
    query = query_of(12, 2)
    bounds, _ = tile_bounds(index, query)
    heads = np.asarray(index.segments[0].postings.heads) >= 0
    assert heads.any()
    expected, _ = reference.block_bounds(
        codes_of(index), index.segments[0].postings.scales, query, heads, layout.BLOCK
    )
    padded = np.zeros(len(bounds) * (layout.TILE // layout.BLOCK), dtype=np.int64)
    padded[: len(expected)] = expected
    assert bounds.tolist() == padded.reshape(len(bounds), -1).max(axis=1).tolist()


@pytest.mark.parametrize("head_fill", [0.3, 2.0])
def test_no_score_exceeds_its_bound(tmp_path, head_fill):
    index = made(tmp_path, 3, 1000, 40, 0.3, order="cluster", head_fill=head_fill)
    stored = in_order(index)
    for seed in range(5):
        query = query_of(40, seed)
        bounds, unit = tile_bounds(index, query)
        slack = 1 + (query.nnz + 4) * 2.0**-23
        for place, score in enumerate(reference.scores(stored, query)):
            needed = pruning.needed(int(np.float32(score).view(np.int32)), unit * slack)
            assert score == 0 or bounds[place // layout.TILE] >= needed


def test_bounds_of_many_terms_fit_sixteen_bits(tmp_path):
    documents = csr_matrix(np.ones((40, 1100), dtype=np.float32))
    write_postings([documents], tmp_path, SparseOptions(vocabulary_size=1100, head_fill=0.0))
    index = InvertedIndex.open(tmp_path)
    most = csr_matrix(np.ones((1, 1024), dtype=np.float32))
    bounds, unit = tile_bounds(index, most)
    assert bounds[0] <= 65535
    assert 1024 <= bounds[0] * unit <= 1024 * 1.3
    for terms in (1024, 1100):  # more terms than can be bounded are searched exhaustively
        query = csr_matrix((np.ones((1, terms))), shape=(1, terms), dtype=np.float32)
        query.resize((1, 1100))
        nums, scores = index.search(query, 3, path="pruned")
        expected = index.search(query, 3, path="exhaustive")
        np.testing.assert_array_equal(nums, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_scores_that_underflow_are_not_pruned(tmp_path):
    """Six products of .6 of the least float32 are each rounded to all of it: 6, not 3.6."""
    least = 2.0**-149
    documents = np.zeros((2570, 7), dtype=np.float32)
    documents[:2560, 0] = 1e-22
    documents[2560:, 1:] = 1e-22
    write_postings(
        [csr_matrix(documents)], tmp_path, SparseOptions(vocabulary_size=7, order="none")
    )
    index = InvertedIndex.open(tmp_path)
    query = np.full((1, 7), 0.6 * least / 1e-22, dtype=np.float32)
    query[0, 0] = 4.4 * least / 1e-22
    bounds, unit = tile_bounds(index, csr_matrix(query))
    assert bounds[-1] * unit < 4 * least  # what the tiles before it score
    for path in ("pruned", "exhaustive"):
        nums, scores = index.search(csr_matrix(query), 10, path=path)
        assert nums.tolist() == [list(range(2560, 2570))]
        assert (scores == np.float32(6 * least)).all()


@pytest.mark.parametrize("blocks", [16, 4096, 4112])
def test_levels_cover_the_maxima(blocks):
    maxima = np.random.default_rng(blocks).integers(0, 256, blocks).astype(np.uint8)
    maxima[:3] = 0, 1, 255
    packed = np.empty(blocks // 2, dtype=np.uint8)
    tiles.pack_maxima(maxima, packed)
    for first in range(0, blocks, 4096):
        part = packed[first // 2 : (first + 4096) // 2]
        levels = np.concatenate([part & 15, part >> 4]).astype(int)
        assert levels.tolist() == np.ceil(maxima[first : first + 4096] / 17).astype(int).tolist()


@pytest.mark.parametrize("weights", ["uint8", "float32"])
def test_tiles_and_windows_are_the_reference(tmp_path, weights):
    index = made(tmp_path, 5, 2000, 50, 0.2, weights=weights, head_fill=0.9)
    query = query_of(50, 6)
    terms, values = query.indices.astype(np.int32), query.data
    expected = reference.scores(in_order(index), query)
    postings = index.segments[0].postings
    table = tiles.lookups(postings, terms, values)
    chosen = np.array([0, 3, 4, 7], dtype=np.int32)
    scores = np.empty(4 * layout.TILE, dtype=np.float32)
    picking.add_tiles(postings, terms, values, table, chosen, scores)
    for slot, tile in enumerate(chosen):
        part = expected[tile * layout.TILE : (tile + 1) * layout.TILE]
        np.testing.assert_array_equal(scores[slot * layout.TILE :][: len(part)], part)
    cursors = np.empty(len(terms), dtype=np.int64)
    ends = np.empty(len(terms), dtype=np.int64)
    assert tiles.enter_range(postings, terms, 0, cursors, ends)
    window = np.empty(tiles.WINDOW * layout.TILE, dtype=np.float32)
    for first, last in ((1, 3), (5, 8)):  # a gap between windows must be skipped
        tiles.add_window(postings, terms, values, table, cursors, ends, first, last, window)
        part = expected[first * layout.TILE : last * layout.TILE]
        np.testing.assert_array_equal(window[: len(part)], part)
    places = np.array([0, 1, 255, 256, 1999], dtype=np.int32)
    out = np.empty(5, dtype=np.float32)
    picking.score_places(postings, terms, values, places, out)
    np.testing.assert_array_equal(out, expected[places])


@pytest.mark.parametrize("wanted", range(0, 12))
def test_seek_is_searchsorted(wanted):
    places = np.array([1, 3, 3, 4, 8, 9], dtype=np.uint16)
    for start in range(len(places) + 1):
        expected = start + np.searchsorted(places[start:], wanted)
        assert tiles.seek(places, start, len(places), wanted) == expected


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("edge", [1, 3, 9])
def test_taken_tiles_reach_the_edge_and_are_taken_once(count, edge):
    bounds = np.random.default_rng(count).integers(0, 8, count).astype(np.int32)
    before = bounds.copy()
    wanted = np.full(count, -7, dtype=np.int32)
    size = pruning.take(bounds, edge, wanted)
    assert wanted[:size].tolist() == np.flatnonzero(before >= edge).tolist()
    assert bounds.tolist() == np.where(before >= edge, -1, before).tolist()
    assert pruning.take(bounds, edge, wanted) == 0
