from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from hybrid.indexes.inverted import InvertedIndex
from hybrid.kernels import pruning, reference, tiles


def made(tmp_path, seed, rows, terms, density, **options):
    documents = random(rows, terms, density=density, format="csr", random_state=seed)
    documents = csr_matrix(documents, dtype=np.float32)
    documents.sort_indices()
    InvertedIndex.build([documents], tmp_path, vocabulary_size=terms, **options)
    return InvertedIndex.open(tmp_path)


def in_order(index):
    """The stored rows, as they stand inside the index."""
    return index.documents(np.asarray(index.postings.order))


def query_of(terms, seed):
    query = random(1, terms, density=0.4, format="csr", random_state=seed, dtype=np.float32)
    query.sort_indices()
    return csr_matrix(query, dtype=np.float32)


@pytest.mark.parametrize("head_fill", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("rows", [1, 64, 65, 1500])
def test_bounds_are_the_reference(tmp_path, head_fill, rows):
    index = made(tmp_path, 1, rows, 40, 0.2, head_fill=head_fill, order="cluster")
    query = query_of(40, 2)
    tile_count = -(-rows // tiles.TILE)
    bounds = np.empty(tile_count * (tiles.TILE // tiles.BLOCK), dtype=np.float32)
    pruning.bound(index.postings, query.indices.astype(np.int32), query.data, bounds)
    expected = reference.block_bounds(in_order(index), query, tiles.BLOCK)
    np.testing.assert_allclose(bounds[: len(expected)], expected, rtol=1e-6)
    assert (bounds[len(expected) :] == 0).all()


def test_no_score_exceeds_its_bound(tmp_path):
    index = made(tmp_path, 3, 1000, 40, 0.3, order="cluster")
    stored = in_order(index)
    for seed in range(5):
        query = query_of(40, seed)
        bounds = np.empty(-(-1000 // tiles.TILE) * 4, dtype=np.float32)
        pruning.bound(index.postings, query.indices.astype(np.int32), query.data, bounds)
        slack = np.float32(1 + (query.nnz + 4) * 2.0**-22)
        tile_bounds = np.empty(-(-1000 // tiles.TILE), dtype=np.float32)
        highest = pruning.bound_tiles(bounds, slack, tile_bounds)
        scores = reference.scores(stored, query)
        for place, score in enumerate(scores):
            assert score <= bounds[place // tiles.BLOCK] * slack
            assert score <= tile_bounds[place // tiles.TILE]
        assert highest == tile_bounds.max()


@pytest.mark.parametrize("weights", ["uint8", "float32"])
def test_tiles_and_windows_are_the_reference(tmp_path, weights):
    index = made(tmp_path, 5, 2000, 50, 0.2, weights=weights, head_fill=0.9)
    query = query_of(50, 6)
    terms, values = query.indices.astype(np.int32), query.data
    expected = reference.scores(in_order(index), query)
    postings = index.postings
    table = tiles.lookups(postings, terms, values)
    chosen = np.array([0, 3, 4, 7], dtype=np.int32)
    scores = np.empty(4 * tiles.TILE, dtype=np.float32)
    tiles.add_tiles(postings, terms, values, table, chosen, scores)
    for slot, tile in enumerate(chosen):
        part = expected[tile * tiles.TILE : (tile + 1) * tiles.TILE]
        np.testing.assert_array_equal(scores[slot * tiles.TILE :][: len(part)], part)
    cursors = np.empty(len(terms), dtype=np.int64)
    ends = np.empty(len(terms), dtype=np.int64)
    assert tiles.enter_range(postings, terms, 0, cursors, ends)
    window = np.empty(tiles.WINDOW * tiles.TILE, dtype=np.float32)
    for first, last in ((1, 3), (5, 8)):  # a gap between windows must be skipped
        tiles.add_window(postings, terms, values, table, cursors, ends, first, last, window)
        part = expected[first * tiles.TILE : last * tiles.TILE]
        np.testing.assert_array_equal(window[: len(part)], part)
    places = np.array([0, 1, 255, 256, 1999], dtype=np.int32)
    out = np.empty(5, dtype=np.float32)
    tiles.score_places(postings, terms, values, places, out)
    np.testing.assert_array_equal(out, expected[places])


@pytest.mark.parametrize("wanted", range(0, 12))
def test_seek_is_searchsorted(wanted):
    places = np.array([1, 3, 3, 4, 8, 9], dtype=np.uint16)
    for start in range(len(places) + 1):
        expected = start + np.searchsorted(places[start:], wanted)
        assert tiles.seek(places, start, len(places), wanted) == expected
