"""Every way to search an index, against the reference, on collections that Hypothesis draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from hybrid.index.documents.subset import Subset
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels import reference


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
