"""Passages: windows of words, MaxP over them, and an index of passages through its life."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.build.create import build_index
from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, Passages
from hybrid.corpus.passages import PassageTable, passage_text, starts
from hybrid.encoders import Bm25Encoder, Bm25Parameters
from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents.passages import MaxPassage, open_passages, save_passages
from hybrid.index.verify import verify_index
from hybrid.integrations.formats.export import export_index
from hybrid.search.index import Index
from tests.test_living import ENCODERS, QUERIES, WORDS, Memory, assert_same

WINDOW = Passages(size=4, overlap=1)
ALL = ("bm25", "sparse", "dense")


def long_document(number: int, version: int = 0) -> Document:
    """Most documents have several passages, some one, some no words at all in their text."""
    rng = np.random.default_rng([number, version, 7])
    words = rng.choice(WORDS, size=int(rng.choice([0, 1, 4, 5, 13, 40])))
    return Document(f"d{number:04}", " ".join(words), title=str(rng.choice(WORDS)))


def build(
    directory: Path,
    documents: Sequence[Document],
    *,
    window: Passages | None = WINDOW,
    bm25: bool = True,
    vectors: str = "flat",
) -> Index:
    encoders = {**ENCODERS, "bm25": Bm25Parameters()} if bm25 else ENCODERS
    options = BuildOptions(weights="float32", passages=window, vectors=vectors)  # type: ignore[arg-type]
    build_index(Memory(list(documents)), directory, options, encoders=encoders)
    return Index(directory, encoders=ENCODERS)


# Windows


@pytest.mark.parametrize(
    ("size", "overlap", "text", "expected"),
    [
        (3, 1, "a b c d e", ["a b c", "c d e"]),
        (3, 1, "a b c d e f", ["a b c", "c d e", "e f"]),
        (3, 0, "a b c", ["a b c"]),
        (3, 2, "a b c d", ["a b c", "b c d"]),
        (1, 0, " a  b\n", ["a", "b"]),
        (9, 3, "", [""]),
        (9, 3, "  \n", ["  \n"]),
        (2, 0, "日本語x y", ["日本", "語x", "y"]),
        (1, 0, "x" * 40, ["x" * 32, "x" * 8]),
    ],
)
def test_windows_of_words(size: int, overlap: int, text: str, expected: list[str]) -> None:
    assert [text[start:stop] for start, stop in Passages(size, overlap).spans(text)] == expected


@given(st.text(), st.integers(1, 6), st.integers(0, 5))
def test_windows_hold_every_word_and_overlap_as_asked(text: str, size: int, overlap: int) -> None:
    if overlap >= size:
        return
    spans = Passages(size, overlap).spans(text)
    covered = np.zeros(len(text), dtype=bool)
    for start, stop in spans:
        covered[start:stop] = True
    assert all(covered[at] for at, character in enumerate(text) if not character.isspace())
    whole = Passages(10**6).spans(text)
    assert len(whole) == 1
    words = len(Passages(1).spans(text))
    assert len(spans) == max(1, 1 + -(-(words - size) // (size - overlap)))


def test_the_title_stands_before_every_passage() -> None:
    document = Document("d", "a b c", title="T")
    assert Passages(2).texts(document) == ["T a b", "T c"]
    assert Passages(5).texts(document) == [document.full_text]


@pytest.mark.parametrize("given_", [(0, 0), (4, 4), (4, -1), (True, 0), (2.0, 0), (10**7, 0)])
def test_windows_that_cannot_be(given_: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="passages"):
        Passages(*given_)


# Encoding


@pytest.mark.parametrize("shard_size", [1, 3, 1000])
def test_shards_hold_the_rows_of_the_passages(tmp_path: Path, shard_size: int) -> None:
    documents = [long_document(number) for number in range(9)]
    seen = []
    shards = encode_corpus(
        documents,
        tmp_path,
        ENCODERS,
        EncodeOptions(shard_size=shard_size, passages=WINDOW),
        progress=seen.append,
    )
    order = shards.order()
    table = shards.passages
    assert table is not None
    assert shards.document_count == sum(seen) == 9
    assert list(shards.ordered_documents(order)) == [documents[at] for at in order]
    texts = [text for at in order for text in WINDOW.texts(documents[at])]
    rows = table.rows(order)
    found = np.concatenate(list(shards.ordered_dense("dense", rows, size=2)))
    np.testing.assert_array_equal(found, ENCODERS["dense"].encode_documents(texts))
    assert [len(WINDOW.texts(documents[at])) for at in order] == table.counts[order].tolist()


# MaxP


def best_of_passages(documents: Sequence[Document], branch: str, query: str) -> list[float]:
    """Return what brute force gives: each document's greatest product over its passages."""
    texts = [WINDOW.texts(document) for document in documents]
    encoder = (
        Bm25Encoder.fit(text for each in texts for text in each)
        if branch == "bm25"
        else ENCODERS[branch]
    )
    row = encoder.encode_queries([query])
    scores = []
    for each in texts:
        products = encoder.encode_documents(each) @ row.T
        plain = products.toarray() if hasattr(products, "toarray") else products
        scores.append(float(plain.max()))
    return scores


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("branch", ALL)
def test_a_document_scores_what_its_best_passage_scores(
    tmp_path: Path, branch: str, changed: bool
) -> None:
    documents = [long_document(number) for number in range(30)]
    index = build(tmp_path / "idx", documents[:20] if changed else documents)
    if changed:
        index.add(documents[20:])
        if branch == "bm25":
            index.compact()
    ids = [document.doc_id for document in documents]
    for query in QUERIES:
        if query == "absent":
            continue
        expected = dict(zip(ids, best_of_passages(documents, branch, query), strict=True))
        pool = index.pool({"q": query}, depth=30, branches=[branch])
        assert pool.depth == 30
        hits = index.search(query, k=30, fusion=branch)
        wanted = [doc_id for doc_id, score in expected.items() if branch == "dense" or score > 0]
        assert sorted(hit.doc_id for hit in hits) == sorted(wanted)
        for hit in hits:
            assert hit.score == pytest.approx(expected[hit.doc_id], abs=1e-5)
        assert [(hit.score, hit.doc_id) for hit in hits] == sorted(
            ((hit.score, hit.doc_id) for hit in hits), reverse=True
        )


class Stored:
    """Rows with given scores, searched by the one ordering rule."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.values = np.array(scores, dtype=np.float32)
        self.doc_count = len(scores)
        self.asked: list[int] = []

    def search(self, queries, k, *, threads=0, subset=None):  # type: ignore[no-untyped-def]
        self.asked.append(k)
        rows = np.arange(self.doc_count) if subset is None else subset.doc_nums
        order = rows[np.lexsort((rows, -self.values[rows]))][:k]
        nums = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        nums[:, : len(order)], scores[:, : len(order)] = order, self.values[order]
        return nums, scores

    def score(self, queries, doc_nums):  # type: ignore[no-untyped-def]
        return np.where(doc_nums >= 0, self.values[doc_nums], np.float32(-np.inf))


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=6), min_size=1, max_size=12),
    st.integers(1, 14),
    st.randoms(use_true_random=False),
)
def test_maxp_by_brute_force(lists: list[list[int]], k: int, random) -> None:  # type: ignore[no-untyped-def]
    branch = MaxPassage(
        Stored([score for each in lists for score in each]), starts(np.array([*map(len, lists)]))
    )
    subset = sorted(random.sample(range(len(lists)), random.randint(0, len(lists))))
    queries = np.zeros((2, 1), dtype=np.float32)
    for chosen, given_ in ((range(len(lists)), None), (subset, np.array(subset, dtype=np.int32))):
        best = sorted((-max(lists[number]), number) for number in chosen)[:k]
        nums, scores = branch.search(queries, k, subset=given_)
        for row, values in zip(nums.tolist(), scores.tolist(), strict=True):
            assert row == [number for _, number in best] + [-1] * (k - len(best))
            assert values[: len(best)] == [-score for score, _ in best]
    every = np.array([[-1, *range(len(lists))]] * 2, dtype=np.int32)
    assert branch.score(queries, every)[1].tolist() == [-np.inf, *map(max, lists)]
    rows = branch.best_rows(queries, every)[0, 1:] - branch.offsets[:-1]
    assert rows.tolist() == [each.index(max(each)) for each in lists]


def test_a_document_of_many_passages_does_not_crowd_the_others_out() -> None:
    rows = Stored([9.0] * 1000 + [1.0, 2.0])
    branch = MaxPassage(rows, np.array([0, 1000, 1001, 1002]))
    nums, scores = branch.search(np.zeros((1, 1), dtype=np.float32), 3)
    assert (nums.tolist(), scores.tolist()) == ([[0, 2, 1]], [[9.0, 2.0, 1.0]])
    assert rows.asked == [38, 76, 152, 304, 608, 1002]
    none = branch.score(np.zeros((1, 1), dtype=np.float32), np.full((1, 2), -1, dtype=np.int32))
    assert none.tolist() == [[-np.inf, -np.inf]]
    with pytest.raises(UsageError, match="k is 0"):
        branch.search(np.zeros((1, 1), dtype=np.float32), 0)
    with pytest.raises(UsageError, match="doc_nums"):
        branch.score(np.zeros((1, 1), dtype=np.float32), np.array([[3]], dtype=np.int32))


def test_windows_longer_than_every_text_give_the_index_of_whole_documents(tmp_path: Path) -> None:
    documents = [long_document(number) for number in range(12)]
    whole = build(tmp_path / "whole", documents, window=None)
    cut = build(tmp_path / "cut", documents, window=Passages(1000))
    assert_same(cut, whole, branches=ALL)
    assert cut.contents.row_count == 12


# Living


def test_a_changed_index_of_passages_is_a_fresh_build(tmp_path: Path) -> None:
    live = {number: long_document(number) for number in range(20)}
    index = build(tmp_path / "living", list(live.values()), bm25=False)
    index.add(long_document(number) for number in range(20, 30))
    index.update(long_document(number, 1) for number in (3, 22, 40))
    index.delete(f"d{number:04}" for number in (0, 5, 21))
    live |= {number: long_document(number) for number in range(20, 30)}
    live |= {number: long_document(number, 1) for number in (3, 22, 40)}
    for number in (0, 5, 21):
        del live[number]
    fresh = build(tmp_path / "fresh", list(live.values()), bm25=False)
    assert_same(index, fresh)
    rows = sum(len(WINDOW.texts(document)) for document in live.values())
    assert index.contents.row_count == fresh.contents.row_count == rows
    assert verify_index(tmp_path / "living", deep=True).is_whole
    assert_texts(index)
    index.compact()
    assert_same(index, fresh)
    assert_texts(index)
    assert index.info().passages == {"size": 4, "overlap": 1}
    assert "cut into passages of 4 words, 1 of them shared" in index.info().lines()[1]


def assert_texts(index: Index) -> None:
    found = list(index.contents.row_texts(np.arange(index.contents.row_count)))
    assert found == [text for each in index.contents.documents for text in WINDOW.texts(each)]


def test_bm25_of_passages_is_a_fresh_build_after_compaction(tmp_path: Path) -> None:
    documents = [long_document(number) for number in range(20)]
    index = build(tmp_path / "living", documents[:15])
    index.add(documents[15:])
    index.compact()
    assert_same(index, build(tmp_path / "fresh", documents), branches=ALL)


@pytest.mark.parametrize("vectors", ["flat", "hnsw"])
def test_a_filter_is_exact_over_passages(tmp_path: Path, vectors: str) -> None:
    documents = [
        Document(d.doc_id, d.text, d.title, {"even": number % 2 == 0})
        for number, d in enumerate(map(long_document, range(20)))
    ]
    index = build(tmp_path / "idx", documents, vectors=vectors)
    for branch in ALL:
        expected = dict(
            zip(
                [document.doc_id for document in documents],
                best_of_passages(documents, branch, "merge sort"),
                strict=True,
            )
        )
        hits = index.search("merge sort", k=20, fusion=branch, filter="even == true")
        wanted = [d.doc_id for d in documents[::2] if branch == "dense" or expected[d.doc_id] > 0]
        assert sorted(hit.doc_id for hit in hits) == sorted(wanted)


def test_an_explanation_names_the_best_passage(tmp_path: Path) -> None:
    document = Document("long", "heap queue heap queue time zone merge sort file path", title="T")
    index = build(tmp_path / "idx", [document, *map(long_document, range(5))])
    (explanation,) = index.explain("merge sort", ["long"])
    assert WINDOW.texts(document)[1:] == ["T queue time zone merge", "T merge sort file path"]
    shares = {share.branch: share for share in explanation.branches}
    assert shares["bm25"].passage == shares["sparse"].passage == 3
    for name in ("bm25", "sparse"):
        total = sum(term.contribution for term in shares[name].terms)
        assert total == pytest.approx(shares[name].score, rel=1e-5)
    assert any(", by passage 3" in line for line in explanation.lines())


def test_passages_are_exported_one_by_one(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [Document("d", "a b c d e"), Document("e", "x")], bm25=False)
    written = export_index(index, tmp_path / "out")
    assert written.documents == 3
    assert index.contents.row_ids(np.arange(3)) == ["e#0", "d#0", "d#1"]


# Files


def test_passages_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    table = PassageTable(np.array([0, 2, 3]), np.zeros((3, 2), dtype=np.int32))
    save_passages(table, tmp_path)
    assert open_passages(tmp_path, 2).counts.tolist() == [2, 1]
    with pytest.raises(CorruptIndexError):
        open_passages(tmp_path, 3)
    for offsets in ([0, 3, 3], [1, 2, 3], [0, 2, 4]):
        np.save(tmp_path / "offsets.npy", np.array(offsets, dtype=np.int64))
        with pytest.raises(CorruptIndexError):
            open_passages(tmp_path, 2)


def test_a_passage_is_a_part_of_its_document() -> None:
    assert passage_text(Document("d", "abc def", title="T"), 4, 7) == "T def"
