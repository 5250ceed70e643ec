from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus import Document
from hybrid.errors import CorruptIndexError, UsageError
from hybrid.fusion.pool import ids_of
from hybrid.index.dense.row_reader import FEW
from hybrid.index.dense.segment import VectorSegment
from hybrid.index.dense.vector import VectorIndex
from hybrid.index.dense.write import write_vectors
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.subset import Subset
from hybrid.index.documents.write import write_documents
from hybrid.index.sparse.combine import SMALL
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.segment import SparseSegment
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.kernels.sparse import search
from hybrid.kernels.sparse.layout import TILE, Postings
from hybrid.kernels.sparse.table import table_of

WIDTH, DIMENSION = 7, 3
Vectors = dict[str, tuple[list[int], list[int]]]


@dataclass
class Parts:
    documents: DocumentStore
    sparse: InvertedIndex
    dense: VectorIndex


def segment(folder: Path, rows: Vectors) -> tuple[DocumentSegment, SparseSegment, VectorSegment]:
    """One segment of documents whose sparse and dense rows are small whole numbers."""
    ids = sorted(rows, reverse=True)
    for name in ("documents", "sparse", "dense"):
        (folder / name).mkdir(parents=True)
    write_documents([Document(each, text=each) for each in ids], folder / "documents")
    sparse = np.array([rows[each][0] for each in ids], dtype=np.float32).reshape(-1, WIDTH)
    write_postings(
        [csr_matrix(sparse)],
        folder / "sparse",
        SparseOptions(vocabulary_size=WIDTH, weights="float32"),
    )
    dense = np.array([rows[each][1] for each in ids], dtype=np.float32).reshape(-1, DIMENSION)
    write_vectors([dense], folder / "dense", dimension=DIMENSION)
    return (
        DocumentSegment(folder / "documents"),
        SparseSegment.open(folder / "sparse"),
        VectorSegment.open(folder / "dense"),
    )


def insertion_point(doc_ids: Sequence[str], doc_id: str) -> int:
    """How many ids come before this one in a descending sequence."""
    return sum(each > doc_id for each in doc_ids)


def assemble(folder: Path, steps: list[tuple[Vectors, set[str]]]) -> Parts:
    """Each step adds a segment and deletes some ids of those before it."""
    numbering = Numbering.whole(0)
    numbering.sizes = ()
    opened: list[tuple[DocumentSegment, SparseSegment, VectorSegment]] = []
    for number, (rows, deleted) in enumerate(steps):
        documents = DocumentStore([each[0] for each in opened], numbering)
        ids = sorted(rows, reverse=True)
        numbering = numbering.change(
            [documents.doc_num(each) for each in deleted],
            [insertion_point(documents.doc_ids, each) for each in ids],
            len(ids),
        )
        opened.append(segment(folder / str(number), rows))
    return Parts(
        DocumentStore([each[0] for each in opened], numbering),
        InvertedIndex([each[1] for each in opened], numbering),
        VectorIndex([each[2] for each in opened], numbering),
    )


def whole(folder: Path, rows: Vectors) -> Parts:
    """One segment with nothing deleted."""
    documents, sparse, dense = segment(folder, rows)
    return Parts(DocumentStore([documents]), InvertedIndex([sparse]), VectorIndex([dense]))


ROWS = st.tuples(
    st.lists(st.integers(0, 2), min_size=WIDTH, max_size=WIDTH),
    st.lists(st.integers(-1, 1), min_size=DIMENSION, max_size=DIMENSION),
)
IDS = st.text("abcé😀", min_size=1, max_size=2)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_many_segments_are_one_fresh_build(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    live: Vectors = {}
    steps: list[tuple[Vectors, set[str]]] = []
    for _ in range(data.draw(st.integers(1, 4))):
        deleted = data.draw(st.sets(st.sampled_from(sorted(live)))) if live else set()
        rows = data.draw(st.dictionaries(IDS, ROWS, max_size=8))
        rows = {key: row for key, row in rows.items() if key not in live or key in deleted}
        steps.append((rows, deleted))
        live = {key: row for key, row in live.items() if key not in deleted} | rows
    folder = tmp_path_factory.mktemp("segments")
    many = assemble(folder / "many", steps)
    fresh = whole(folder / "fresh", live)
    documents, sparse, dense = fresh.documents, fresh.sparse, fresh.dense

    assert list(many.documents) == list(documents)
    assert list(many.documents.doc_ids) == list(documents.doc_ids)
    numbers = np.arange(len(documents), dtype=np.int32)
    assert ids_of(many.documents.doc_ids, numbers) == list(documents.doc_ids)
    for doc_id in live:
        assert many.documents.doc_num(doc_id) == documents.doc_num(doc_id)
    assert many.documents.find("zz") is None
    asked = sorted({*live, *data.draw(st.sets(IDS, max_size=5)), "", "zz"}, reverse=True)
    for each in (many.documents, documents):
        before, is_live = each.locate(asked)
        assert is_live.tolist() == [doc_id in live for doc_id in asked]
        ids = list(documents.doc_ids)
        assert before.tolist() == [insertion_point(ids, doc_id) for doc_id in asked]

    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    queries = csr_matrix(rng.integers(0, 3, (3, WIDTH)).astype(np.float32))
    vectors = rng.integers(-1, 2, (3, DIMENSION)).astype(np.float32)
    subset = np.flatnonzero(rng.integers(0, 2, len(live))).astype(np.int32)
    k = data.draw(st.integers(1, 12))
    mask = np.zeros(len(live), dtype=np.bool_)
    mask[subset] = True
    for each in (None, subset, mask):
        same(many.sparse.search(queries, k, subset=each), sparse.search(queries, k, subset=each))
        for few in (vectors, vectors[:1]):
            same(many.dense.search(few, k, subset=each), dense.search(few, k, subset=each))
    if live:
        nums = rng.integers(-1, len(live), (3, 5)).astype(np.int32)
        same([many.sparse.score(queries, nums)], [sparse.score(queries, nums)])
        same([many.dense.score(vectors, nums)], [dense.score(vectors, nums)])
        chosen = np.maximum(nums[0], 0)
        same([many.dense.vectors(chosen)], [dense.vectors(chosen)])
        same([many.sparse.vectors(chosen).toarray()], [sparse.vectors(chosen).toarray()])


def same(found: object, expected: object) -> None:
    for one, other in zip(found, expected, strict=True):  # type: ignore[call-overload]
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def rows_of(ids: list[str], seed: int) -> Vectors:
    rng = np.random.default_rng(seed)
    return {
        each: (rng.integers(0, 3, WIDTH).tolist(), rng.integers(-1, 2, DIMENSION).tolist())
        for each in ids
    }


def test_more_deletions_than_are_fetched_over(tmp_path: Path) -> None:
    rows = rows_of([f"{number:04}" for number in range(400)], 1)
    deleted = {f"{number:04}" for number in range(400) if number % 3}
    assert len(deleted) > 64
    many = assemble(tmp_path / "many", [(rows, set()), ({}, deleted)])
    live = {each: row for each, row in rows.items() if each not in deleted}
    fresh = whole(tmp_path / "fresh", live)
    sparse, dense = fresh.sparse, fresh.dense
    queries = csr_matrix(np.ones((1, WIDTH), np.float32))
    vectors = np.ones((1, DIMENSION), np.float32)
    same(many.sparse.search(queries, 20), sparse.search(queries, 20))
    same(many.dense.search(vectors, 20), dense.search(vectors, 20))


@pytest.mark.parametrize("scanned", [0, 50_000])
def test_small_subsets_by_segment_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    monkeypatch.setattr("hybrid.index.sparse.inverted.SCANNED", scanned)
    rows = rows_of([f"{number:03}" for number in range(300)], 6)
    more = rows_of([f"{number:03}x" for number in range(50)], 7)
    deleted = {"000", "007", "150"}
    many = assemble(tmp_path / "many", [(rows, set()), (more, deleted)])
    live = {key: row for key, row in rows.items() if key not in deleted} | more
    fresh = whole(tmp_path / "fresh", live)
    sparse, dense = fresh.sparse, fresh.dense
    queries = csr_matrix(np.ones((2, WIDTH), np.float32))
    vectors = np.ones((2, DIMENSION), np.float32)
    for chosen in ([], [0], [346], [3, 60, 61, 200, 345]):
        subset = np.array(chosen, dtype=np.int32)
        assert not Subset.of(subset, len(live)).dense
        for k in (1, 9):
            found = many.sparse.search(queries, k, subset=subset)
            same(found, sparse.search(queries, k, subset=subset))
            found = many.dense.search(vectors, k, subset=subset)
            same(found, dense.search(vectors, k, subset=subset))


def test_segments_searched_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [(rows_of([f"{number}{at}" for at in range(30)], number), set()) for number in range(5)]
    many = assemble(tmp_path, steps)
    vectors = np.round(np.random.default_rng(4).standard_normal((3, DIMENSION), dtype=np.float32))
    expected = many.dense.search(vectors, 20)
    kept = many.dense.flat.threads
    assert kept._started is None  # too few rows for them
    for module in ("flat", "row_reader"):
        monkeypatch.setattr(f"hybrid.index.dense.{module}.SHARED_FROM", 0)
    monkeypatch.setattr("hybrid.machine.threads.cpu_count", lambda: 3)
    for threads in (1, 2, 3, 9):
        same(many.dense.search(vectors, 20, threads=threads), expected)
    pool = kept.pool
    same(many.dense.search(vectors, 20, subset=np.arange(150, dtype=np.int32)), expected)
    batch = np.concatenate([vectors] * FEW)
    for few, many_rows in zip(expected, many.dense.search(batch, 20, threads=2), strict=True):
        np.testing.assert_array_equal(np.concatenate([few] * FEW), many_rows)
    assert kept.pool is pool


def test_merged_segments_become_the_last() -> None:
    numbering = Numbering(
        np.array([0, 2, 1, 0, 2], np.int32), np.array([0, 0, 1, 2, 1], np.int32), (3, 2, 2)
    )
    assert [numbering.deleted(each) for each in range(3)] == [1, 1, 0]
    assert [numbering.doc_nums(each).tolist() for each in range(3)] == [[0, -1, 3], [-1, 2], [1, 4]]
    merged, doc_nums = numbering.merge([0, 1])
    assert doc_nums.tolist() == [0, 2, 3]
    assert merged.segments.tolist() == [1, 0, 1, 1, 0]
    assert merged.places.tolist() == [0, 0, 1, 2, 1]
    assert merged.sizes == (2, 3)
    whole, doc_nums = numbering.merge([0, 1, 2])
    assert whole.is_whole
    assert not numbering.is_whole
    assert doc_nums.tolist() == whole.places.tolist() == [0, 1, 2, 3, 4]


def test_bad_numbers_are_refused(tmp_path: Path) -> None:
    many = assemble(tmp_path, [(rows_of(["a", "b"], 2), set())])
    for bad in ([2], [-1], [1, 0], [0, 0]):
        with pytest.raises(UsageError):
            many.dense.search(np.ones((1, 3), np.float32), 1, subset=np.array(bad, np.int32))
    with pytest.raises(UsageError, match="k is 0"):
        many.dense.search(np.ones((1, 3), np.float32), 0)
    with pytest.raises(UsageError, match="run from 2 to 2"):
        many.dense.score(np.ones((1, 3), np.float32), np.array([[2]], np.int32))
    with pytest.raises(UsageError, match="no document 'c'"):
        many.documents.document("c")
    with pytest.raises(UsageError, match="5 is not one"):
        many.documents.numbering.change([5], [])
    for outside in (2, -3):
        with pytest.raises(IndexError):
            many.documents[outside]


@pytest.mark.parametrize(
    ("segments", "places"),
    [
        ([0, 1, 2], [0, 0, 0]),
        ([0, -1, 1], [0, 0, 0]),
        ([0, 0, 1], [0, 0, 0]),
        ([0, 0, 1], [1, 0, 0]),
        ([0, 0, 1], [0, 2, 0]),
        ([0, 0, 1], [0, 1, -1]),
    ],
)
def test_a_numbering_that_does_not_fit_is_refused(
    tmp_path: Path, segments: list[int], places: list[int]
) -> None:
    def ints(values: list[int]) -> NDArray[np.int32]:
        return np.array(values, dtype=np.int32)

    Numbering(ints([0, 0, 1]), ints([0, 1, 0]), (2, 1)).save(tmp_path)
    assert len(Numbering.open(tmp_path, (2, 1), 3)) == 3
    with pytest.raises(CorruptIndexError):
        Numbering.open(tmp_path, (2, 1), 2)
    Numbering(ints(segments), ints(places), (2, 1)).save(tmp_path)
    with pytest.raises(CorruptIndexError, match="does not fit"):
        Numbering.open(tmp_path, (2, 1), 3)


@pytest.mark.parametrize("weights", ["uint8", "float32"])
def test_one_threshold_over_large_and_small_segments(
    tmp_path: Path, weights: Literal["uint8", "float32"]
) -> None:
    """A segment large enough for bounds, small ones, many ties, deletions, more hits than k."""
    width = 40
    rng = np.random.default_rng(3)
    sizes = [SMALL + 100, 0, 1, 300, 2000]
    count = sum(sizes)
    mask = rng.random((count, width)) < 0.1
    rows = csr_matrix(np.where(mask, rng.integers(1, 4, (count, width)), 0).astype(np.float32))
    owner = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
    parts, places, scales = [], np.empty(count, dtype=np.int32), None
    for number, size in enumerate(sizes):
        places[owner == number] = np.arange(size, dtype=np.int32)
        part = tmp_path / str(number)
        part.mkdir()
        write_postings(
            [rows[owner == number]],
            part,
            SparseOptions(vocabulary_size=width, weights=weights, scales=scales),
        )
        parts.append(SparseSegment.open(part))
        scales = np.array(parts[0].postings.scales) if weights == "uint8" else None
    live = np.flatnonzero(rng.random(count) < 0.9)
    numbering = Numbering(owner[live], places[live], sizes)
    many = InvertedIndex(parts, numbering)
    (tmp_path / "fresh").mkdir()
    write_postings(
        [rows[live]],
        tmp_path / "fresh",
        SparseOptions(vocabulary_size=width, weights=weights, scales=scales),
    )
    fresh = InvertedIndex.open(tmp_path / "fresh")

    dense = rng.random((6, width)) * (rng.random((6, width)) < 0.2)
    dense[0] = 0
    dense[1:3] = np.eye(width)[:2]
    queries = csr_matrix(dense.astype(np.float32))
    for k in (1, 10, 500, count + 1):
        for threads in (1, 2):
            same(many.search(queries, k, threads=threads), fresh.search(queries, k))


@pytest.mark.parametrize("factors", [(1, 1, 1), (1, 2, 3), (1, 2, 1)])
def test_every_path_over_segments_gives_the_same_bits(
    tmp_path: Path, factors: tuple[int, ...]
) -> None:
    """Pruned, tiles of all segments are scored in one order; a term is a head in some of them."""
    rng = np.random.default_rng(4)
    table: list[Postings] = []
    parts: list[SparseSegment] = []
    for number, (size, head_fill) in enumerate(((64 * TILE, 0.5), (64 * TILE + 1, 2), (50, 0))):
        part = tmp_path / str(number)
        part.mkdir()
        mask = rng.random((size, 30)) < 0.1
        rows = csr_matrix((mask * rng.integers(1, 4, (size, 30))).astype(np.float32))
        # With another factor a code weighs something else than in the first segment.
        scales = np.array(parts[0].postings.scales) if number and factors[number] == 1 else None
        rows.data *= np.float32(factors[number])
        write_postings(
            [rows],
            part,
            SparseOptions(vocabulary_size=30, order="cluster", head_fill=head_fill, scales=scales),
        )
        parts.append(SparseSegment.open(part))
        first = sum(len(each.order) for each in table)
        table.append(parts[-1].postings._replace(order=parts[-1].postings.order + np.int32(first)))
    joined = table_of(table)
    assert joined.same_scales.tolist() == [factor == 1 for factor in factors]
    assert (table[0].heads >= 0).any()
    assert (table[1].heads < 0).all()
    terms = np.array([1, 5, 8], dtype=np.int32)
    weights = np.array([0.5, 1.0, 2.0], dtype=np.float32)
    count = sum(len(each.order) for each in table)
    masks = [np.arange(count) % 3 > 0, np.arange(count) // 4000 % 2 == 1]
    for k, mask in itertools.product((1, 7, 300, 20_000), (None, *masks)):
        found = []
        allowed = () if mask is None else (mask,)
        for pruned in (False, True):
            nums, bits = np.full(k, -1, np.int32), np.zeros(k, np.int32)
            size = search.search(joined, terms, weights, pruned, nums, bits, *allowed)
            found.append((size, nums[:size], bits[:size].view(np.float32)))
        assert found[0][0] == found[1][0]
        np.testing.assert_array_equal(found[0][1], found[1][1])
        np.testing.assert_array_equal(found[0][2], found[1][2])
        # Each score is that of its segment, and they descend.
        query = csr_matrix((weights, terms, [0, 3]), shape=(1, 30))
        starts = np.cumsum([0, *(len(part) for part in parts)])
        best = []
        for part, start in zip(parts, starts, strict=False):
            nums, scores = InvertedIndex([part]).search(query, len(part))
            best += [(-s, n + start) for n, s in zip(nums[0], scores[0], strict=True) if n >= 0]
        expected = sorted(pair for pair in best if mask is None or mask[pair[1]])[:k]
        assert found[0][1].tolist() == [num for _, num in expected]
        assert found[0][2].tolist() == [-score for score, _ in expected]


@pytest.mark.parametrize("compiled", [False, True])
def test_segments_of_different_vocabularies_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    monkeypatch.setattr("hybrid.index.sparse.inverted.loaded", lambda kernel: compiled)
    parts = []
    for width in (3, 4):
        (tmp_path / str(width)).mkdir()
        rows = csr_matrix(np.ones((2, width), dtype=np.float32))
        write_postings([rows], tmp_path / str(width), SparseOptions(vocabulary_size=width))
        parts.append(SparseSegment.open(tmp_path / str(width)))
    numbering = Numbering(
        np.repeat(np.arange(2, dtype=np.int32), 2), np.int32([0, 1, 0, 1]), (2, 2)
    )
    many = InvertedIndex(parts, numbering)
    with pytest.raises(CorruptIndexError, match="different vocabularies"):
        many.search(csr_matrix(np.ones((1, 3), dtype=np.float32)), 1)
