from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, Query
from hybrid.corpus.qrels import Qrels
from hybrid.corpus.records import Skipped
from hybrid.encoders import Bm25Encoder, Bm25Parameters
from hybrid.errors import CorpusError, IndexLockedError, ModelMismatchError, UsageError
from hybrid.index.storage.writer import new_generation
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse

WORDS = "merge sort list heap queue file path read write json parse date time zone".split()  # noqa: SIM905
QUERIES = ["merge sort", "json file", "time zone date seed", "queue", "absent"]


@dataclass
class Memory:
    """A source that lies in memory."""

    held: list[Document]
    name: str = "memory"
    skipped: Skipped = field(default_factory=Skipped)

    def documents(self) -> Iterator[Document]:
        return iter(self.held)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        return iter(())

    def qrels(self, split: str) -> Qrels:
        return {}

    def splits(self) -> tuple[str, ...]:
        return ()

    def document_count(self) -> int | None:
        return len(self.held)


ENCODERS = {"sparse": HashSparse(), "dense": HashDense()}


def document(number: int, version: int = 0) -> Document:
    rng = np.random.default_rng([number, version])
    words = rng.choice(WORDS, size=rng.integers(1, 8))
    return Document(f"d{number:04}", " ".join(words), title=str(rng.choice(WORDS)))


def build(directory: Path, documents: Iterable[Document], *, bm25: bool = False) -> Index:
    encoders = {**ENCODERS, "bm25": Bm25Parameters()} if bm25 else ENCODERS
    options = BuildOptions(weights="float32")
    build_index(Memory(list(documents)), directory, options, encoders=encoders)
    return Index(directory, encoders=ENCODERS)


def assert_same(found: Index, expected: Index, branches: Iterable[str] = ENCODERS) -> None:
    """Every branch, the pool and the ranking are those of the other index, to the bit."""
    assert list(found.contents.doc_ids) == list(expected.contents.doc_ids)
    assert list(found.contents.documents) == list(expected.contents.documents)
    queries = {str(number): query for number, query in enumerate(QUERIES)}
    one, other = (
        each.pool(queries, depth=7, branches=list(branches)) for each in (found, expected)
    )
    for name in ("offsets", "doc_nums", "scores", "ranks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def tree(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_changed_index_is_a_fresh_build(tmp_path: Path) -> None:
    live = {number: document(number) for number in range(40)}
    index = build(tmp_path / "living", live.values())

    report = index.add(document(number) for number in range(40, 60))
    live |= {number: document(number) for number in range(40, 60)}
    assert (report.added, report.document_count, report.segments) == (20, 60, 2)
    assert_same(index, build(tmp_path / "added", live.values()))

    report = index.delete(f"d{number:04}" for number in range(0, 60, 7))
    live = {number: each for number, each in live.items() if number % 7}
    assert (report.deleted, report.document_count) == (9, len(live))
    assert_same(index, build(tmp_path / "deleted", live.values()))

    report = index.update(document(number, 1) for number in (1, 41, 43, 70))
    live |= {number: document(number, 1) for number in (1, 41, 43, 70)}
    assert (report.added, report.replaced, report.segments) == (1, 3, 3)
    fresh = build(tmp_path / "updated", live.values())
    assert_same(index, fresh)
    assert_same(Index(tmp_path / "living", encoders=ENCODERS), fresh)

    report = index.compact()
    assert (report.document_count, report.segments) == (len(live), 1)
    assert_same(index, fresh)
    assert index.contents.numbering.is_whole


def test_bm25_that_was_fitted_anew_gets_no_columns_of_the_old_vocabulary(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", map(document, range(12)), bm25=True)
    index.search("merge", k=1)
    other = Index(tmp_path / "idx", encoders=ENCODERS)
    other.add([Document("aardvark", "aardvark aardvark")])
    other.compact()
    with pytest.raises(ModelMismatchError, match=r"'bm25'.*vocabulary_size.*open it again"):
        index.add([document(40)])
    index.reopen()
    index.add([document(40)])
    other.reopen()
    assert_same(index, other, branches=["bm25"])
    terms = index.sparse_encoder("bm25").vocabulary
    assert "aardvark" in terms
    hit = index.search(document(40).full_text, k=14, fusion="bm25")
    fitted = Bm25Encoder.fit(
        each.full_text for each in [*map(document, range(12)), Document("x", "aardvark aardvark")]
    )
    row = fitted.encode_documents([document(40).full_text])
    query = fitted.encode_queries([document(40).full_text])
    score = next(each.score for each in hit if each.doc_id == "d0040")
    assert score == pytest.approx(float((row @ query.T).toarray()[0, 0]), rel=1e-5)


def test_bm25_is_a_fresh_build_after_compaction(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(30)), bm25=True)
    index.add([document(30), Document("zebra", "zebra zebra stripes")])
    index.delete(["d0003", "d0004"])
    assert [hit.doc_id for hit in index.search("sort", k=3, fusion="bm25")]
    index.compact()
    live = [document(number) for number in range(31) if number not in (3, 4)]
    fresh = build(tmp_path / "fresh", [*live, Document("zebra", "zebra zebra stripes")], bm25=True)
    assert_same(index, fresh, branches=["bm25", *ENCODERS])
    assert index.search("zebra", k=1, fusion="bm25")[0].doc_id == "zebra"


def test_bm25_is_fitted_anew_where_its_documents_left_as_a_whole_segment(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(3)), bm25=True)
    index.add([Document(f"zebra{number}", "zebra stripes merge") for number in range(3)])
    report = index.delete(f"d{number:04}" for number in range(3))
    assert (report.segments, report.unfitted) == (1, ("bm25",))
    assert index.contents.numbering.is_whole
    assert not len(index.search("zebra", k=1, fusion="bm25"))
    report = index.compact()
    assert (report.merged, report.unfitted) == (1, ())
    assert len(index.search("zebra", k=3, fusion="bm25")) == 3
    assert index.compact().merged == 0


def test_eight_bit_weights_keep_their_scales_and_their_codes(tmp_path: Path) -> None:
    build_index(Memory([document(n) for n in range(50)]), tmp_path / "idx", encoders=ENCODERS)
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    before = {hit.doc_id: hit.score for hit in index.search("merge sort", k=20, fusion="sparse")}
    index.add(document(number) for number in range(50, 70))
    index.compact()
    after = {hit.doc_id: hit.score for hit in index.search("merge sort", k=70, fusion="sparse")}
    assert before.items() <= after.items()


def test_the_smaller_half_of_ten_segments_is_merged(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(40)))
    counts = []
    for number in range(40, 52):
        counts.append(index.add([document(number)]).segments)
    assert counts == [2, 3, 4, 5, 6, 7, 8, 9, 10, 7, 8, 9]
    assert_same(index, build(tmp_path / "fresh", map(document, range(52))))


def test_everything_may_be_deleted_and_come_again(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(3)))
    assert index.delete(["d0000", "d0001", "d0002"]).document_count == 0
    assert len(index) == 0
    index.compact()
    index.add([document(5)])
    assert_same(index, build(tmp_path / "fresh", [document(5)]))
    index.compact()
    assert_same(index, build(tmp_path / "fresh2", [document(5)]))


def test_what_cannot_be_done_is_said_and_changes_nothing(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(5)))
    before = {
        path: path.read_bytes() for path in (tmp_path / "living").rglob("*/*") if path.is_file()
    }
    with pytest.raises(CorpusError, match=r"1 of 2 documents are in the index .* 'd0004'"):
        index.add([document(4), document(9)])
    with pytest.raises(CorpusError, match="twice"):
        index.update([document(9), document(9)])
    with pytest.raises(CorpusError, match="no documents"):
        index.add([])
    with pytest.raises(UsageError, match=r"no document 'x'; nothing was deleted"):
        index.delete(["d0001", "x"])
    with new_generation(tmp_path / "living", create=False), pytest.raises(IndexLockedError):
        index.delete(["d0001"])
    after = {
        path: path.read_bytes() for path in (tmp_path / "living").rglob("*/*") if path.is_file()
    }
    assert after == before
    assert index.delete(["d0001", "x"], ignore_missing=True).deleted == 1
    assert index.delete(["x"], ignore_missing=True).deleted == 0


def test_a_reader_stays_on_its_generation(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(20)))
    reader = Index(tmp_path / "living", encoders=ENCODERS)
    expected = reader.search("merge sort", k=10, fusion="dense")
    for number in range(20, 26):
        index.add([document(number)])
    index.delete([expected[0].doc_id])
    index.compact()
    assert reader.search("merge sort", k=10, fusion="dense") == expected
    reader.reopen()
    assert expected[0].doc_id not in [each.doc_id for each in reader.search("merge sort", k=10)]


def test_domains_outlive_changes(tmp_path: Path) -> None:
    index = build(tmp_path / "living", map(document, range(20)))
    index.store_domain("python", index.fusion("rrf(k=9)"))
    index.add([document(30)])
    index.compact()
    assert str(index.fusion(domain="python")) == "rrf(k=9)"


def test_the_figures_of_a_compacted_branch_are_those_of_its_documents(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [document(number) for number in range(4)], bm25=True)
    before = dict(index.contents.record("bm25").report)
    index.add([Document(f"new{at}", f"zebra{at} quagga{at} okapi{at}") for at in range(5)])
    assert index.contents.record("bm25").report["vocabulary"] == before["vocabulary"]
    index.compact()
    after = index.contents.record("bm25").report
    encoder = index.sparse_encoder("bm25")
    assert after["vocabulary"] == len(encoder.vocabulary) > before["vocabulary"]
    stored = index.contents.sparse("bm25")
    assert after["nonzeros_per_document"] == round(stored.nnz / 9, 1)
