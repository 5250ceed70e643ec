from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.dense import brute_force
from hybrid.index.dense.brute_force import margin as rounding_margin
from hybrid.index.dense.gpu import TorchBruteForce
from hybrid.index.dense.neighbours import GraphCandidates, ListCandidates
from hybrid.index.dense.row_reader import FEW, NO_NUMBERS
from hybrid.index.dense.segment import VectorSegment
from hybrid.index.dense.vector import VectorIndex
from hybrid.index.dense.write import write_vectors
from hybrid.index.documents.subset import Subset
from hybrid.kernels.dense import products
from hybrid.kernels.dense.products import dot, dot_reference
from hybrid.machine.threads import SCORED_FROM

Floats = NDArray[np.float32]


def make(directory: Path, vectors: Floats, parts: int = 1, **options: object) -> VectorIndex:
    directory.mkdir(exist_ok=True)
    write_vectors(
        np.array_split(vectors, parts),
        directory,
        dimension=vectors.shape[1],
        **options,  # type: ignore[arg-type]
    )
    return VectorIndex([VectorSegment.open(directory)])


def twin(
    vectors: Floats, queries: Floats, k: int, subset: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int32], Floats]:
    """The same search in plain NumPy: every score, sorted by score, then number."""
    nums = np.full((len(queries), k), -1, dtype=np.int32)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    docs = np.arange(len(vectors)) if subset is None else subset
    for row, query in enumerate(queries):
        values = np.array([dot_reference(query, vectors[doc]) for doc in docs], dtype=np.float32)
        order = np.lexsort((docs, -values))[:k]
        nums[row, : len(order)] = docs[order]
        scores[row, : len(order)] = values[order]
    return nums, scores


def random(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("dimension", [1, 2, 7, 8, 9, 15, 16, 100, 384])
def test_the_kernel_is_its_definition_and_near_the_real_product(dimension: int) -> None:
    for seed in range(20):
        a, b = random(seed, 2, dimension)
        assert dot(a, b) == dot_reference(a, b)
        exact = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
        assert dot(a, b) == pytest.approx(exact, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("k", [1, 10, 60, 500])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 300])
@pytest.mark.parametrize("query_count", [0, 1, 3, 30])
def test_search_is_its_numpy_twin(tmp_path: Path, k: int, count: int, query_count: int) -> None:
    vectors, queries = random(1, count, 12), random(2, query_count, 12)
    index = make(tmp_path / "dense", vectors, parts=3)
    nums, scores = index.search(queries, k)
    expected = twin(vectors, queries, k)
    np.testing.assert_array_equal(nums, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    assert (nums.dtype, scores.dtype, nums.shape) == (np.int32, np.float32, (query_count, k))


@pytest.mark.parametrize(
    "duplicates",
    [
        pytest.param(lambda base: base[np.arange(400) % 3], id="three vectors, each many times"),
        pytest.param(lambda base: base[np.zeros(400, dtype=int)], id="one vector"),
        pytest.param(lambda base: np.zeros_like(base), id="all zero"),
        pytest.param(lambda base: np.sign(base), id="few distinct scores"),
        pytest.param(
            lambda base: np.nextafter(base[np.zeros(400, dtype=int)], np.sign(base)),
            id="one vector, each component moved by its last bit",
        ),
        pytest.param(lambda base: base[:, ::-1].copy(), id="the same products in another order"),
    ],
)
def test_ties_at_the_cut_are_exact(tmp_path: Path, duplicates: object) -> None:
    base = random(3, 400, 24)
    vectors = np.ascontiguousarray(duplicates(base), dtype=np.float32)  # type: ignore[operator]
    queries = np.concatenate([random(4, 3, 24), vectors[:2], np.ones((1, 24), np.float32)])
    index = make(tmp_path / "dense", vectors)
    for k in (1, 5, 37, 399):
        nums, scores = index.search(queries, k)
        expected = twin(vectors, queries, k)
        np.testing.assert_array_equal(nums, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_a_rounded_scan_that_misorders_everything_within_its_margin_is_mended(
    tmp_path: Path,
) -> None:
    """A scan may be wrong by the margin; here it is, in the worst direction."""
    vectors = random(5, 1, 16) + np.float32(2**-22) * random(6, 500, 16)
    queries = random(7, 4, 16)
    index = make(tmp_path / "dense", vectors)
    margin = rounding_margin(queries, index.segments[0].largest_norm)[:, None]

    class Worst:
        def best(
            self,
            queries: Floats,
            vectors: Floats,
            subset: Subset | None,
            count: int,
            threads: int,
        ) -> tuple[Floats, NDArray[np.int64]]:
            exact = queries.astype(np.float64) @ vectors.astype(np.float64).T
            best = exact >= np.sort(exact, axis=1)[:, [-20]]
            wrong = (exact + np.where(best, -1, 1) * margin * 0.9).astype(np.float32)
            order = np.argsort(-wrong, axis=1)[:, :count]
            return np.take_along_axis(wrong, order, axis=1), order

        def on_cpu(self, queries: int) -> bool:
            return False

    index.segments[0].brute_force = Worst()
    nums, _ = index.search(queries, 10)
    np.testing.assert_array_equal(nums, twin(vectors, queries, 10)[0])


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    count=st.integers(1, 40),
    dimension=st.integers(1, 9),
    k=st.integers(1, 45),
)
def test_search_over_a_subset_is_its_twin(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    count: int,
    dimension: int,
    k: int,
) -> None:
    seed = data.draw(st.integers(0, 2**16))
    vectors = np.round(random(seed, count, dimension))  # whole numbers: many ties
    queries = np.round(random(seed + 1, data.draw(st.sampled_from([1, 2, 5])), dimension))
    subset = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1)))), dtype=np.int32)
    mask = np.zeros(count, dtype=np.bool_)
    mask[subset] = True
    index = make(tmp_path_factory.mktemp("dense"), vectors)
    expected = twin(vectors, queries, k, subset)
    for given_ in (subset, mask):
        nums, scores = index.search(queries, k, subset=given_)
        np.testing.assert_array_equal(nums, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_more_chunks_than_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brute_force, "CHUNK", 8)
    vectors, queries = np.round(random(28, 300, 6)), random(29, FEW + 5, 6)
    index = make(tmp_path / "dense", vectors)
    for threads, rows in itertools.product((1, 2, 3), (1, 5, FEW + 5)):
        for subset in (None, np.arange(3, 290, 3, dtype=np.int32)):
            nums, scores = index.search(queries[:rows], 1, subset=subset, threads=threads)
            expected = twin(vectors, queries[:rows], 1, subset)
            np.testing.assert_array_equal(nums, expected[0])
            np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("count", [1, 7, 300])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.3, 1.0])
def test_allowed_rows_are_chosen_by_their_rounded_scores(
    count: int, share: float, skips: bool
) -> None:
    vectors, queries = np.round(random(32, 2000, 5)), np.round(random(33, 3, 5))  # no rounding
    allowed = np.random.default_rng(1).random(2000) < share
    numbers = np.arange(2000, dtype=np.int32)
    kept_so_far = products.nothing_kept(3, count)
    for first, last in ((10, 500), (500, 500), (500, 1990)):
        wanted = products.Wanted(numbers, allowed, NO_NUMBERS, skips)
        products.read_rows(queries, vectors, wanted, first, last, 0, count, kept_so_far)
    scores = np.empty((3, count), dtype=np.float32)
    docs = np.empty((3, count), dtype=np.int64)
    products.take_best(kept_so_far, scores, docs)
    inside = np.flatnonzero(allowed)
    inside = inside[(inside >= 10) & (inside < 1990)]
    for row, query in enumerate(queries):
        best = -np.sort(-(vectors[inside] @ query))[:count]
        kept = docs[row, : len(best)]
        assert np.sort(scores[row, : len(best)]).tolist() == best[::-1].tolist()
        assert len(set(kept.tolist())) == len(best)
        assert np.isin(kept, inside).all()
        assert np.array_equal(vectors[kept] @ query, scores[row, : len(best)])
        assert (docs[row, len(best) :] == -1).all()
        assert (scores[row, len(best) :] == -np.inf).all()


def test_deep_over_a_mask(tmp_path: Path) -> None:
    vectors, queries = np.round(random(30, 20_003, 3)), random(31, 1, 3)
    index = make(tmp_path / "dense", vectors)
    subset = np.flatnonzero(np.random.default_rng(0).random(len(vectors)) < 0.3).astype(np.int32)
    for k in (300, 7000):
        for threads in (1, 2):
            nums, scores = index.search(queries, k, subset=subset, threads=threads)
            expected = twin(vectors, queries, k, subset)
            np.testing.assert_array_equal(nums, expected[0])
            np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("step", [1, 2, 37])
def test_a_subset_larger_than_one_chunk(tmp_path: Path, step: int, rows: int) -> None:
    vectors, queries = random(8, 20_000, 4), random(9, rows, 4)
    subset = np.arange(5, 19_000, step, dtype=np.int32)
    subset = np.delete(subset, [3, 100])
    index = make(tmp_path / "dense", vectors)
    nums, scores = index.search(queries, 50, subset=subset)
    every, values = make(tmp_path / "part", vectors[subset]).search(queries, 50)
    np.testing.assert_array_equal(nums, subset[every])
    np.testing.assert_array_equal(scores, values)


def test_search_and_score_agree_to_the_bit_at_any_batch_and_thread_count(tmp_path: Path) -> None:
    vectors, queries = random(10, 2000, 50), random(11, 64, 50)
    index = make(tmp_path / "dense", vectors)
    nums, scores = index.search(queries, 20)
    np.testing.assert_array_equal(index.score(queries, nums), scores)
    for threads in (1, 2, 5):
        again = index.search(queries, 20, threads=threads)
        np.testing.assert_array_equal(again[0], nums)
        np.testing.assert_array_equal(again[1], scores)
    for row in range(len(queries)):
        alone = index.search(queries[row : row + 1], 20)
        np.testing.assert_array_equal(alone[0][0], nums[row])
        np.testing.assert_array_equal(alone[1][0], scores[row])


def test_scores_are_the_same_bits_on_any_number_of_threads(tmp_path: Path) -> None:
    vectors, queries = random(34, 900, 20), random(35, 12, 20)
    doc_nums = np.random.default_rng(2).integers(-1, 900, (12, 900)).astype(np.int32)
    assert doc_nums.size >= SCORED_FROM
    index = make(tmp_path / "dense", vectors)
    expected = index.score(queries, doc_nums, threads=1)
    assert (expected[doc_nums < 0] == -np.inf).all()
    for threads in (0, 2, 5):
        np.testing.assert_array_equal(index.score(queries, doc_nums, threads=threads), expected)


def test_torch_finds_the_same(tmp_path: Path) -> None:
    vectors, queries = random(12, 3000, 20), random(13, 5, 20)
    index = make(tmp_path / "dense", vectors)
    expected = index.search(queries, 15)
    index.segments[0].brute_force = TorchBruteForce("cpu")
    for subset in (None, np.arange(0, 3000, 2, dtype=np.int32)):
        found = index.search(queries, 15, subset=subset)
        if subset is not None:
            expected = twin(vectors, queries, 15, subset)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_score_of_nothing_is_minus_infinity_and_vectors_come_back(tmp_path: Path) -> None:
    vectors = random(14, 5, 3)
    index = make(tmp_path / "dense", vectors)
    scores = index.score(vectors[:1], np.array([[2, -1]], dtype=np.int32))
    assert scores.tolist() == [[dot_reference(vectors[0], vectors[2]), -np.inf]]
    np.testing.assert_array_equal(index.vectors(np.array([4, 0], np.int32)), vectors[[4, 0]])
    assert (index.doc_count, index.dimension) == (5, 3)


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    index = make(tmp_path / "dense", random(15, 5, 3))
    query = random(16, 1, 3)
    with pytest.raises(UsageError, match="k is 0"):
        index.search(query, 0)
    with pytest.raises(UsageError, match=r"shape \(1, 4\); \(n, 3\) was expected"):
        index.search(random(16, 1, 4), 1)
    for subset in ([3, 1], [1, 1], [5], [-1]):
        with pytest.raises(UsageError):
            index.search(query, 1, subset=np.array(subset, np.int32))
    for nums in ([[5]], [[-2]], [[1], [1]], [1]):
        with pytest.raises(UsageError):
            index.score(query, np.array(nums, np.int32))
    for bad in (np.nan, np.inf, 1e20):
        with pytest.raises(UsageError, match="not finite"):
            index.search(np.full((1, 3), bad, np.float32), 1)
        with pytest.raises(UsageError, match="number 0 on"):
            make(tmp_path / "bad", np.full((1, 3), bad, np.float32))
        (tmp_path / "bad" / "vectors.npy").unlink()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", 6),
        ("count", -1),
        ("count", 5.0),
        ("dimension", 4),
        ("dimension", 0),
        ("kind", "tree"),
        ("largest_norm", "long"),
        ("largest_norm", float("nan")),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    make(tmp_path / "dense", random(17, 5, 3))
    path = tmp_path / "dense" / "vector.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(CorruptIndexError):
        VectorIndex([VectorSegment.open(tmp_path / "dense")])


@pytest.mark.parametrize("damage", ["longer", "shorter", "object", "text", "missing"])
def test_an_array_file_that_is_none_is_refused(tmp_path: Path, damage: str) -> None:
    make(tmp_path / "dense", random(18, 5, 3))
    path = tmp_path / "dense" / "vectors.npy"
    data = path.read_bytes()
    if damage == "longer":
        path.write_bytes(data + b"x")
    elif damage == "shorter":
        path.write_bytes(data[:-1])
    elif damage == "object":
        path.unlink()
        np.save(path, np.array([[{}, {}, {}]] * 5, dtype=object), allow_pickle=True)
    elif damage == "text":
        path.write_text("vectors")
    else:
        path.unlink()
    with pytest.raises(CorruptIndexError, match=r"vectors\.npy"):
        VectorIndex([VectorSegment.open(tmp_path / "dense")])


def clustered(seed: int, count: int, dimension: int) -> Floats:
    centres = random(seed, 40, dimension)
    vectors = centres[np.arange(count) % 40] + np.float32(0.5) * random(seed + 1, count, dimension)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_kinds_find_most_with_exact_scores(tmp_path: Path, kind: str) -> None:
    vectors, queries = clustered(20, 6000, 16), clustered(22, 50, 16)
    flat = make(tmp_path / "flat", vectors)
    index = make(tmp_path / kind, vectors, kind=kind, seed=1)
    candidates = {"ivf": ListCandidates, "hnsw": GraphCandidates}[kind]
    assert isinstance(index.segments[0].candidates, candidates)
    nums, scores = index.search(queries, 20)
    expected, _ = flat.search(queries, 20)
    recall = np.mean([len(np.intersect1d(*rows)) / 20 for rows in zip(nums, expected, strict=True)])
    assert recall > 0.95
    np.testing.assert_array_equal(index.score(queries, nums), scores)
    order = [np.lexsort((row, -values)) for row, values in zip(nums, scores, strict=True)]
    np.testing.assert_array_equal(order, np.tile(np.arange(20), (50, 1)))
    subset = np.arange(1, 6000, 3, dtype=np.int32)
    for found, exact in zip(
        index.search(queries, 20, subset=subset),
        flat.search(queries, 20, subset=subset),
        strict=True,
    ):
        np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_approximate_kinds_over_few_documents_find_all(
    tmp_path: Path, kind: str, count: int
) -> None:
    vectors, queries = random(23, count, 8), random(24, 3, 8)
    nums, scores = make(tmp_path / kind, vectors, kind=kind).search(queries, 40)
    expected = twin(vectors, queries, 40)
    np.testing.assert_array_equal(nums, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_seed_gives_the_same_files(tmp_path: Path, kind: str) -> None:
    vectors = random(25, 500, 8)
    for name in ("one", "two"):
        make(tmp_path / name, vectors, kind=kind, seed=7)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("kind", "name", "position", "value"),
    [
        ("ivf", "list_docs", 3, 30),
        ("ivf", "list_docs", 3, -1),
        ("ivf", "list_offsets", 0, 1),
        ("ivf", "list_offsets", 2, 1000),
        ("ivf", "list_offsets", 2, -5),
        ("ivf", "list_offsets", -1, 31),
        ("hnsw", "graph_neighbours", 5, 30),
        ("hnsw", "graph_neighbours", 5, -2),
        ("hnsw", "graph_levels", 5, 0),
        ("hnsw", "graph_levels", 5, 2**30),
        ("hnsw", "graph_offsets", 5, 2**40),
        ("hnsw", "graph_offsets", 0, -1),
        ("hnsw", "graph_entry", 0, 30),
        ("hnsw", "graph_entry", 0, -1),
    ],
)
def test_a_hostile_search_structure_is_refused(
    tmp_path: Path, kind: str, name: str, position: int, value: int
) -> None:
    make(tmp_path / kind, random(26, 30, 8), kind=kind)
    path = tmp_path / kind / f"{name}.npy"
    array = np.load(path)
    array[position] = value
    np.save(path, array)
    with pytest.raises(CorruptIndexError, match="does not fit"):
        VectorIndex([VectorSegment.open(tmp_path / kind)])


def test_a_graph_naming_a_node_on_a_level_that_it_is_not_on_is_walked_in_bounds(
    tmp_path: Path,
) -> None:
    vectors = clustered(27, 2000, 8)
    make(tmp_path / "hnsw", vectors, kind="hnsw")
    levels = np.load(tmp_path / "hnsw" / "graph_levels.npy")
    offsets = np.load(tmp_path / "hnsw" / "graph_offsets.npy")
    path = tmp_path / "hnsw" / "graph_neighbours.npy"
    neighbours = np.load(path)
    high = int(np.flatnonzero(levels > 1)[0])
    neighbours[offsets[high] + 64 : offsets[high + 1]] = 1999  # the last node, on level 0 alone
    np.save(path, neighbours)
    np.save(tmp_path / "hnsw" / "graph_entry.npy", np.array([high], dtype=np.int32))
    assert levels[1999] == 1
    nums, _ = VectorIndex([VectorSegment.open(tmp_path / "hnsw")]).search(vectors[1999:], 1)
    assert nums.tolist() == [[1999]]


def test_read_only_queries_need_no_kernel_of_their_own(tmp_path):
    write_vectors([np.eye(4, dtype=np.float32)], tmp_path, dimension=4)
    index = VectorIndex([VectorSegment.open(tmp_path)])
    query = np.eye(1, 4, dtype=np.float32)
    expected = index.search(query, 1)[0].tolist(), index.score(query, np.array([[0]])).tolist()
    kernels = products.score_found, products.read_rows
    compiled = [len(each.signatures) for each in kernels]
    query.flags.writeable = False
    assert (index.search(query, 1)[0].tolist(), index.score(query, [[0]]).tolist()) == expected
    assert [len(each.signatures) for each in kernels] == compiled
