"""Exact search over many segments gives the bits of one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.dense.brute_force import FaissBruteForce, margin
from hybrid.index.dense.row_reader import FEW, SKIPPING
from hybrid.index.dense.segment import VectorSegment
from hybrid.index.dense.vector import VectorIndex
from hybrid.index.dense.write import write_vectors
from hybrid.index.documents.numbering import OVERFETCH, Numbering
from hybrid.index.documents.subset import Subset
from hybrid.kernels.dense import products
from hybrid.machine.threads import KeptThreads

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
SIZES = (700, 0, 40, 1, 400, 300)
COUNT, DIMENSION = sum(SIZES), 20
BATCHES = (1, 3, FEW + 1)


def random(seed: int, count: int, dimension: int = DIMENSION) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)


VECTORS = {
    "random": random(1, COUNT),
    "tied": np.round(random(2, COUNT)) * (np.arange(DIMENSION) < 3).astype(np.float32),
    "duplicate": random(3, 5)[np.arange(COUNT) % 5],
    "zero": random(4, COUNT) * (np.arange(COUNT) % 40 == 0).astype(np.float32)[:, None],
    "of all lengths": random(5, COUNT) * np.geomspace(1e-3, 1e3, COUNT, dtype=np.float32)[:, None],
}
QUERIES = {
    name: np.concatenate([np.zeros((1, DIMENSION), np.float32), vectors[:2], random(6, FEW - 2)])
    for name, vectors in VECTORS.items()
}


def deletions(name: str, owner: Ints) -> Mask:
    """Whether each document is deleted."""
    drawn = np.random.default_rng(7).random(COUNT)
    return {
        "none": drawn < 0,
        "few": drawn < 0.02,
        "many": drawn < 0.5,
        "nearly all of one": (owner == 0) & (drawn < 0.95),
        "all of some": (owner == 0) | (owner == 3),
    }[name]


def split(
    vectors: Floats, deleted: str, kinds: tuple[str, ...], folder: Path
) -> tuple[VectorIndex, VectorIndex]:
    """Return many segments, and one of what is live."""
    sizes = SIZES
    owner = np.random.default_rng(8).permutation(np.repeat(np.arange(len(sizes)), sizes))
    places = np.empty(COUNT, dtype=np.int32)
    parts = []
    for segment, size in enumerate(sizes):
        places[owner == segment] = np.arange(size)
        parts.append(
            made(
                folder / str(segment), vectors[owner == segment], kinds[segment % len(kinds)]
            ).segments[0]
        )
    live = np.flatnonzero(~deletions(deleted, owner.astype(np.int32)))
    numbering = Numbering(owner[live].astype(np.int32), places[live], sizes)
    return VectorIndex(parts, numbering), made(folder / "one", vectors[live], "flat")


def made(folder: Path, vectors: Floats, kind: str) -> VectorIndex:
    folder.mkdir(parents=True)
    write_vectors([vectors], folder, dimension=vectors.shape[1], kind=kind)
    return VectorIndex([VectorSegment.open(folder)])


def subsets(count: int) -> list[Subset | None]:
    drawn = np.random.default_rng(9).permutation(count)
    named = [np.sort(drawn[:size]).astype(np.int32) for size in (0, 1, 40, count // 5)]
    mask = np.zeros(count, dtype=np.bool_)
    mask[drawn[: int(count * (SKIPPING + 1) / 2)]] = True  # most of them, so that all are read
    found: list[Subset | None] = [None, *(Subset.of(each, count) for each in named)]
    return [*found, Subset.of(mask, count)]


def same(found: tuple[Ints, Floats], expected: tuple[Ints, Floats]) -> None:
    assert (found[0].dtype, found[1].dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1].view(np.int32), expected[1].view(np.int32))


def every_score(vectors: Floats, queries: Floats) -> Floats:
    """Return (queries, n): each score by the definition's own kernel."""
    scores = [[products.dot(query, vector) for vector in vectors] for query in queries]
    return np.array(scores, dtype=np.float32).reshape(len(queries), len(vectors))


def by_definition(every: Floats, k: int, subset: Subset | None) -> tuple[Ints, Floats]:
    """Sort the scores of a subset."""
    chosen = np.arange(every.shape[1]) if subset is None else subset.doc_nums
    nums = np.full((len(every), k), -1, dtype=np.int32)
    scores = np.full((len(every), k), -np.inf, dtype=np.float32)
    for row, values in enumerate(every[:, chosen]):
        order = np.lexsort((chosen, -values))[:k]
        nums[row, : len(order)], scores[row, : len(order)] = chosen[order], values[order]
    return nums, scores


@pytest.mark.parametrize("deleted", ["none", "few", "many", "nearly all of one", "all of some"])
@pytest.mark.parametrize("data", list(VECTORS))
def test_many_segments_give_the_bits_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, deleted: str
) -> None:
    many, one = split(VECTORS[data], deleted, ("flat",), tmp_path)
    for module in ("flat", "row_reader"):
        monkeypatch.setattr(f"hybrid.index.dense.{module}.SHARED_FROM", 0)
    live, queries = one.doc_count, QUERIES[data]
    every = every_score(np.array(one.segments[0].vectors), queries)
    for subset, k in itertools.product(subsets(live), (1, 10, 100, live + 5)):
        expected = by_definition(every, k, subset)
        for batch, threads in itertools.product(BATCHES, (1, 2)):
            wanted = expected[0][:batch], expected[1][:batch]
            for index in (many, one):
                same(index.search(queries[:batch], k, threads=threads, subset=subset), wanted)


@pytest.mark.parametrize("deleted", ["none", "many", "all of some"])
def test_named_documents_get_the_bits_of_one_segment(tmp_path: Path, deleted: str) -> None:
    many, one = split(VECTORS["random"], deleted, ("flat", "ivf"), tmp_path)
    queries = random(21, 12)
    for wide in (0, 1, 900):
        drawn = np.random.default_rng(wide).integers(-1, one.doc_count, (12, wide))
        expected = one.score(queries, drawn.astype(np.int32))
        assert (expected == -np.inf).sum() == (drawn < 0).sum()
        for threads in (1, 2):
            found = many.score(queries, drawn.astype(np.int32), threads=threads)
            np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))
    for bad in ([[one.doc_count]], [[-2]], [[1], [1]], [1]):
        with pytest.raises(UsageError):
            many.score(queries[:1], np.array(bad, dtype=np.int32))


def test_the_deletions_are_few_and_many(tmp_path: Path) -> None:
    for name, is_many in (("few", False), ("many", True)):
        many, _ = split(VECTORS["random"], name, ("flat",), tmp_path / name)
        counts = [many.numbering.deleted(segment) for segment in range(len(SIZES))]
        assert (max(counts) > OVERFETCH) == is_many
        assert max(counts) > 0


@pytest.mark.parametrize("kinds", [("flat", "ivf"), ("hnsw", "flat"), ("ivf", "hnsw")])
def test_mixed_kinds(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    """Of so few documents, the lists that are looked at hold all."""
    many, one = split(VECTORS["random"], "few", kinds, tmp_path)
    queries = QUERIES["random"]
    for subset, batch in itertools.product(subsets(one.doc_count), BATCHES):
        for threads in (1, 2):
            found = many.search(queries[1 : batch + 1], 5, threads=threads, subset=subset)
            expected = one.search(queries[1 : batch + 1], 5, subset=subset)
            if subset is None and "hnsw" in kinds:
                assert np.isin(found[0], expected[0]).mean() > 0.9
            else:
                same(found, expected)


def test_no_more_is_scored_over_many_segments_than_over_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, one = split(VECTORS["random"], "few", ("flat",), tmp_path)
    score_found, scored = products.score_found, [0]

    def counted(queries: Floats, vectors: Floats, numbers: Ints, rows: Any, *rest: Any) -> None:
        scored[0] += int(((rows >= rest[0]) & (rows < rest[0] + len(vectors))).sum())
        score_found(queries, vectors, numbers, rows, *rest)

    monkeypatch.setattr(products, "score_found", counted)
    for batch, k in itertools.product(BATCHES, (10, 200)):
        for index in (many, one):
            scored[0] = 0
            index.search(random(10, batch), k)
            assert scored[0] == batch * (k + max(32, k // 4))


class Shaken:
    """A scan that is as wrong as it may be: what is best looks worst."""

    def __init__(self, largest_norm: float) -> None:
        self.largest_norm = largest_norm

    def on_cpu(self, queries: int) -> bool:
        return False

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, NDArray[np.int64]]:
        docs = np.arange(len(vectors)) if subset is None else subset.doc_nums.astype(np.int64)
        exact = queries.astype(np.float64) @ vectors[docs].T.astype(np.float64)
        best = exact >= np.median(exact, axis=1, keepdims=True)
        off = margin(queries, self.largest_norm)[:, None] * 0.9
        wrong = (exact + np.where(best, -off, off)).astype(np.float32)
        order = np.argsort(-wrong, axis=1)[:, :count]
        return np.take_along_axis(wrong, order, axis=1), docs[order]


@pytest.mark.parametrize("deleted", ["none", "few", "many"])
def test_scans_that_misorder_within_their_margins_are_mended(tmp_path: Path, deleted: str) -> None:
    near = random(11, 1) + np.float32(2**-22) * random(12, COUNT)
    many, one = split(near, deleted, ("flat",), tmp_path)
    for part in many.segments:
        part.brute_force = Shaken(part.largest_norm)
    queries = random(13, 4)
    every = every_score(np.array(one.segments[0].vectors), queries)
    for subset, k in itertools.product(subsets(one.doc_count), (1, 10, 100)):
        expected = by_definition(every, k, subset)
        same(many.search(queries, k, subset=subset), expected)


def test_devices_and_the_cpu_share_the_segments(tmp_path: Path) -> None:
    many, one = split(VECTORS["random"], "few", ("flat",), tmp_path)
    many.segments[2].brute_force = Shaken(many.segments[2].largest_norm)
    for batch in BATCHES:
        queries = random(14, batch)
        same(many.search(queries, 10), one.search(queries, 10))


def test_no_document_is_live(tmp_path: Path) -> None:
    parts = [VectorSegment(random(at, size), 1e3) for at, size in ((1, 3), (2, 0))]
    none = np.empty(0, dtype=np.int32)
    many = VectorIndex(parts, Numbering(none, none, (3, 0)))
    assert many.score(random(3, 1), np.full((1, 2), -1, np.int32)).tolist() == [[-np.inf] * 2]
    for batch in (0, 1, FEW + 1):
        nums, scores = many.search(random(3, batch), 2)
        assert (nums == -1).all()
        assert (scores == -np.inf).all()
        assert nums.shape == scores.shape == (batch, 2)


def test_segments_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    parts = [VectorSegment(random(1, 3, size), 1e3) for size in (4, 5)]
    two = np.zeros(2, dtype=np.int32), np.arange(2, dtype=np.int32)
    with pytest.raises(CorruptIndexError, match="different dimensions"):
        VectorIndex(parts, Numbering(*two, (3, 3))).search(random(1, 1, 4), 1)
    with pytest.raises(CorruptIndexError, match=r"hold \(3,\) vectors, and \(4,\) are numbered"):
        VectorIndex(parts[:1], Numbering(*two, (4,))).search(random(1, 1, 4), 1)
    fits = VectorIndex(parts[:1], Numbering(*two, (3,)))
    with pytest.raises(UsageError, match=r"shape \(1, 5\); \(n, 4\) was expected"):
        fits.search(random(1, 1, 5), 1)
    with pytest.raises(UsageError, match="k is 0"):
        fits.search(random(1, 1, 4), 0)


@pytest.mark.parametrize("dimension", [1, 1500])
def test_rows_shorter_and_longer_than_a_page(dimension: int) -> None:
    vectors, queries = random(15, 300, dimension), random(16, 2, dimension)
    index = VectorIndex([VectorSegment(vectors, 1e3)])
    every = every_score(vectors, queries)
    for subset in (None, *subsets(300)[2:]):
        for k in (1, 20):
            found = index.search(queries, k, subset=subset)
            same(found, by_definition(every, k, subset))


@pytest.mark.parametrize("batch", BATCHES)
def test_a_vector_that_is_no_number_hides_no_other(batch: int) -> None:
    """Such a file is not written here, but may be given."""
    vectors = random(17, 2000)
    spoilt = np.sort(np.random.default_rng(1).choice(2000, 100, replace=False))
    bad = vectors.copy()
    bad[spoilt] = np.nan
    sound = np.setdiff1d(np.arange(2000), spoilt).astype(np.int32)
    queries = random(18, batch)
    expected = VectorIndex([VectorSegment(vectors, 10.0)]).search(queries, 10, subset=sound)
    owner = (np.arange(2000) % 2).astype(np.int32)
    numbering = Numbering(owner, (np.arange(2000) // 2).astype(np.int32), (1000, 1000))
    halves = [VectorSegment(np.ascontiguousarray(bad[at::2]), 10.0) for at in (0, 1)]
    for index in (VectorIndex([VectorSegment(bad, 10.0)]), VectorIndex(halves, numbering)):
        same(index.search(queries, 10), expected)


def test_threads_that_are_kept_share_jobs_in_order() -> None:
    kept = KeptThreads(3)
    for count, workers in itertools.product((0, 1, 2, 7), (0, 1, 2, 3, 9)):
        assert kept.deal(lambda number: number * number, count, workers) == [
            number * number for number in range(count)
        ]


def test_faiss_finds_what_the_kernel_does() -> None:
    vectors, queries = random(19, 3000), random(20, FEW + 1)
    scan = FaissBruteForce()
    for subset in (None, *subsets(3000)[3:]):
        count = 30
        batch = scan.best(queries, vectors, subset, count, 1)
        for row in range(len(queries)):
            few = scan.best(queries[row : row + 1], vectors, subset, count, 1)
            assert sorted(few[1][0].tolist()) == sorted(batch[1][row].tolist())
            np.testing.assert_allclose(np.sort(few[0][0]), np.sort(batch[0][row]), atol=1e-5)
