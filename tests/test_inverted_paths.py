"""Every way to search an index, against the reference, on collections that Hypothesis draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset
from hybrid.index.sparse import inverted
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.segment import SparseSegment
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels import reference
from hybrid.kernels.sparse.layout import RANGE


@contextmanager
def before_kernels_are_loaded(scanned: int = inverted.SCAN_MOST) -> Iterator[None]:
    """Answer as a process does that has not loaded the kernels yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverted, "loaded", lambda module: False)
        patch.setattr(inverted, "SCAN_MOST", scanned)
        yield


def matrix(rows: int, terms: int, density: float, levels: int, seed: int) -> csr_matrix:
    """Random weights; few ``levels`` make many ties."""
    made = random(rows, terms, density=density, format="csr", dtype=np.float32, random_state=seed)
    made.data = np.ceil(made.data * levels).astype(np.float32) / np.float32(levels)
    made.sort_indices()
    return csr_matrix(made, dtype=np.float32)


@st.composite
def collections(draw: st.DrawFn) -> tuple[csr_matrix, csr_matrix, int, dict[str, object]]:
    """Return documents of one or several tiles, queries, k, and options of the build."""
    terms = draw(st.integers(1, 20))
    levels = draw(st.sampled_from([1, 2, 1000]))
    seed = draw(st.integers(0, 2**20))
    rows = draw(st.one_of(st.integers(1, 70), st.integers(250, 900)))
    documents = matrix(rows, terms, draw(st.sampled_from([0.05, 0.3, 1.0])), levels, seed)
    queries = matrix(draw(st.integers(1, 5)), terms, 0.6, levels, seed + 1)
    k = draw(st.one_of(st.integers(1, 20), st.integers(1, 1000)))
    options = {
        "weights": draw(st.sampled_from(["uint8", "uint8", "float32"])),
        "order": draw(st.sampled_from(["none", "cluster"])),
        "head_fill": draw(st.sampled_from([0.0, 0.55, 2.0])),
    }
    return documents, queries, k, options


def built(
    factory: pytest.TempPathFactory, documents: csr_matrix, options: dict[str, object]
) -> tuple[InvertedIndex, csr_matrix]:
    """Return an index and the rows that it stores."""
    folder = factory.mktemp("index")
    cut = documents.shape[0] // 2
    parts = [documents[:cut], documents[cut:]]
    write_postings(parts, folder, SparseOptions(vocabulary_size=documents.shape[1], **options))  # type: ignore[arg-type]
    index = InvertedIndex.open(folder)
    return index, index.vectors(np.arange(index.doc_count, dtype=np.int32))


@settings(max_examples=40, deadline=None)
@given(collections(), st.sampled_from(["auto", "exhaustive", "pruned"]))
def test_a_batch_is_the_reference_however_it_is_cut(tmp_path_factory, drawn, path):
    documents, queries, k, options = drawn
    index, stored = built(tmp_path_factory, documents, options)
    expected = reference.search(stored, queries, k)
    for threads in (1, 2):
        found = index.search(queries, k, threads=threads, path=path)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    with before_kernels_are_loaded():
        assert_same(index.search(queries, k), expected)
    for row in range(queries.shape[0]):
        alone = index.search(queries[row], k, path=path)
        np.testing.assert_array_equal(alone[0][0], expected[0][row])
        np.testing.assert_array_equal(alone[1][0], expected[1][row])


@settings(max_examples=40, deadline=None)
@given(
    collections(),
    st.sampled_from([0.0, 0.002, 0.05, 0.5, 1.0]),
    st.booleans(),
    st.integers(0, 2**20),
    st.sampled_from(["auto", "exhaustive", "pruned"]),
)
def test_a_subset_is_the_reference_over_its_rows(
    tmp_path_factory, drawn, share, neighbours, seed, path
):
    documents, queries, k, options = drawn
    index, stored = built(tmp_path_factory, documents, options)
    rng, count = np.random.default_rng(seed), documents.shape[0]
    mask = rng.random(count) < share
    if neighbours:  # places that lie together, so that whole tiles are passed over
        order = np.asarray(index.segments[0].postings.order)
        mask[order] = np.arange(count) < share * count
    subset = np.flatnonzero(mask).astype(np.int32)
    expected, expected_scores = reference.search(stored[subset], queries, k)
    for given_, threads in ((subset, 1), (mask, 2), (Subset.of(subset, count), 1)):
        nums, scores = index.search(queries, k, subset=given_, path=path, threads=threads)
        np.testing.assert_array_equal(nums, np.append(subset, -1)[expected])
        np.testing.assert_array_equal(scores, expected_scores)
        with before_kernels_are_loaded():
            assert_same(index.search(queries, k, subset=given_), (nums, scores))


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weights", ["uint8", "float32"])
def test_numpy_answers_over_segments_ranges_and_deletions(tmp_path: Path, weights: str) -> None:
    """Several scales, a segment of two ranges, deleted documents, ties, subsets and k > n."""
    rng = np.random.default_rng(3)
    parts, live = [], []
    for number, (rows, levels) in enumerate([(RANGE + 700, 3), (300, 1000), (1, 1), (900, 2)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        documents = matrix(rows, 40, 0.04, levels, number)
        options = SparseOptions(vocabulary_size=40, weights=weights, order="none")  # type: ignore[arg-type]
        write_postings([documents], folder, options)
        parts.append(SparseSegment.open(folder))
        live += [(number, place) for place in np.flatnonzero(rng.random(rows) < 0.9)]
    rng.shuffle(live)
    live.sort(key=lambda each: each[1])
    segments, places = np.array(live, dtype=np.int32).T
    numbering = Numbering(segments.copy(), places.copy(), [len(part) for part in parts])
    index, queries = InvertedIndex(parts, numbering), matrix(6, 40, 0.2, 7, 9)
    named = rng.integers(-1, len(live), (6, 50)).astype(np.int32)
    allowed = np.flatnonzero(rng.random(len(live)) < 0.01).astype(np.int32)
    for k, subset in ((10, None), (len(live) + 5, None), (10, allowed), (2000, allowed)):
        expected = index.search(queries, k, subset=subset)
        with before_kernels_are_loaded():
            assert_same(index.search(queries, k, subset=subset), expected)
    scores = index.score(queries, named)
    with before_kernels_are_loaded():
        assert_same([index.score(queries, named)], [scores])


def test_kernels_are_loaded_when_numpy_has_looked_at_enough(tmp_path_factory) -> None:
    documents, queries = matrix(400, 9, 0.5, 5, 1), matrix(1, 9, 0.9, 5, 2)
    index, _ = built(tmp_path_factory, documents, {})
    expected = index.search(queries, 5)
    once = 400 + int(np.diff(documents.tocsc().indptr)[queries.indices].sum())
    with before_kernels_are_loaded(2 * (once + inverted.SCAN_START * queries.nnz)):
        index.__dict__.pop("searcher")
        for loads in (False, False, True):
            assert_same(index.search(queries, 5), expected)
            assert ("searcher" in index.__dict__) is loads
