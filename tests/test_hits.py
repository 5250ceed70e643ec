"""A hit: what it reads of its document and when, and what it is without an index."""

from __future__ import annotations

import copy
import gc
import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from hybrid.build.create import BuildOptions, build_index
from hybrid.corpus import Document
from hybrid.errors import IndexFormatError, UsageError
from hybrid.fusion.pool import BranchScore
from hybrid.fusion.run import Hit, Run
from hybrid.index.documents.store import DocumentStore
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import ENCODERS, Memory, document

DOCUMENTS = [replace(document(n), fields={"year": n % 5} if n % 2 else {}) for n in range(20)]
BY_ID = {each.doc_id: each for each in DOCUMENTS}
QUERIES = {"a": "merge sort", "b": "json file heap"}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    encoders = {"sparse": HashSparse(), "dense": HashDense()}
    build_index(Memory(DOCUMENTS), tmp_path / "index", BuildOptions(), encoders=encoders)
    with Index(tmp_path / "index", encoders=encoders) as opened:
        yield opened


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents each read asks for."""
    found: list[int] = []
    plain = DocumentStore.take

    def take(self: DocumentStore, doc_nums: Any) -> Any:
        found.append(len(doc_nums))
        return plain(self, doc_nums)

    monkeypatch.setattr(DocumentStore, "take", take)
    return found


def test_a_hit_holds_its_document_and_the_score_of_each_branch(index: Index) -> None:
    pool = index.pool(QUERIES)
    run = index.search(QUERIES, k=7)
    for at, query_id in enumerate(run):
        one = pool.select([at])
        place = {one.doc_ids[num]: place for place, num in enumerate(one.doc_nums.tolist())}
        assert len(run[query_id]) == 7
        for hit in run[query_id]:
            stored = BY_ID[hit.doc_id]
            assert (hit.title, hit.text, hit.fields) == (stored.title, stored.text, stored.fields)
            assert hit.scores == {
                name: BranchScore(
                    float(one.scores[row, place[hit.doc_id]]),
                    int(one.ranks[row, place[hit.doc_id]]),
                )
                for row, name in enumerate(one.branches)
            }
    assert index.search("merge sort", k=7) == run["a"]


def test_documents_are_read_when_asked_for_and_once_a_query(index: Index, reads: list[int]) -> None:
    run = index.search(QUERIES, k=5)
    hits = [*run["a"], *run["b"]]
    assert [hit.scores.keys() for hit in hits] == [{"sparse", "dense"}] * 10
    assert reads == []
    assert all(hit.text for hit in [*hits, *run["a"]])
    assert reads == [5, 5]


def test_evaluation_makes_no_sources(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.search.view.HitSources", None)
    view = index.view()
    result = view.search(QUERIES, view.plan(3))
    assert [hit.source for hit in result.run["a"]] == [None] * 3
    with pytest.raises(TypeError):
        view.hit_sources(result)


def test_a_document_that_was_scored_again_has_that_score_too(index: Index) -> None:
    def shortest(_: str, texts: Any) -> list[float]:
        return [-float(len(text)) for text in texts]

    hits = index.search("merge sort", k=6, rerank=shortest, rerank_depth=4)
    again = [hit.scores["rerank"] for hit in hits[:4]]
    assert sorted(each.rank for each in again) == [1, 2, 3, 4]
    assert [each.score for each in again] == [
        -float(len(BY_ID[hit.doc_id].full_text)) for hit in hits[:4]
    ]
    assert ["rerank" in hit.scores for hit in hits] == [True] * 4 + [False] * 2


def test_a_hit_without_an_index_says_so() -> None:
    (hit,) = Run.from_dict({"q": {"a": 1.0}})["q"]
    assert hit.to_dict() == {"rank": 1, "doc_id": "a", "score": 1.0}
    for name in ("title", "text", "fields", "scores", "snippet"):
        with pytest.raises(UsageError, match=r"'a' is of no opened index.*Index.search"):
            getattr(hit, name)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 its own


def test_the_source_is_no_part_of_a_hit(index: Index) -> None:
    run = index.search(QUERIES, k=3)
    hit = run["a"][0]
    assert hit == Hit(hit.doc_id, hit.score, 1)
    assert hash(hit) == hash(Hit(hit.doc_id, hit.score, 1))
    assert repr(hit) == f"Hit(doc_id={hit.doc_id!r}, score={hit.score}, rank=1)"
    for other in (pickled(hit), copy.copy(hit), copy.deepcopy(hit)):
        assert other == hit
        assert other.source is None
    assert run["a"][0].source is not None
    for same in (pickled(run), copy.copy(run), copy.deepcopy(run)):
        assert same == run
        assert same["a"][0].source is None
    assert run.top(1)["a"][0].text == hit.text


def test_a_hit_of_an_opened_index_goes_into_dictionaries_and_frames(index: Index) -> None:
    pandas = pytest.importorskip("pandas")
    hits = index.search("merge sort", k=3)
    plain = [{"doc_id": hit.doc_id, "score": hit.score, "rank": hit.rank} for hit in hits]
    assert [asdict(hit) for hit in hits] == [{**each, "source": None} for each in plain]
    assert pandas.DataFrame(hits)[list(plain[0])].to_dict("records") == plain
    assert hits[0].source is not None


def test_a_hit_of_another_rank_reads_its_own_document(index: Index) -> None:
    hits = index.search("merge sort", k=3)
    moved = replace(hits[2], rank=1)
    assert moved.text == BY_ID[moved.doc_id].text != hits[0].text
    assert moved.scores == hits[2].scores
    assert moved.to_dict() == {**hits[2].to_dict(), "rank": 1}
    with pytest.raises(UsageError, match="'other' is none of the 3 hits of query '1'"):
        _ = replace(hits[0], doc_id="other").text


def test_to_dict_is_json(index: Index) -> None:
    hit = next(hit for hit in index.search("merge sort", k=20) if hit.fields)
    found = json.loads(json.dumps(hit.to_dict()))
    stored = BY_ID[hit.doc_id]
    assert {name: found[name] for name in ("rank", "doc_id", "score")} == {
        "rank": hit.rank,
        "doc_id": hit.doc_id,
        "score": hit.score,
    }
    assert (found["title"], found["text"], found["fields"]) == (
        stored.title,
        stored.text,
        stored.fields,
    )
    assert found["scores"]["dense"] == {
        "score": hit.scores["dense"].score,
        "rank": hit.scores["dense"].rank,
    }


def test_to_pandas(index: Index, reads: list[int]) -> None:
    run = index.search(QUERIES, k=4)
    frame = run.to_pandas()
    assert list(frame.columns) == ["query_id", "rank", "doc_id", "score"]
    assert list(frame["doc_id"]) == [hit.doc_id for each in run for hit in run[each]]
    assert reads == []
    full = run.to_pandas(full=True)
    assert list(full.columns[:6]) == [*frame.columns, "title", "text"]
    assert list(full["text"]) == [BY_ID[each].text for each in frame["doc_id"]]
    assert list(full["scores.dense.rank"]) == [
        hit.scores["dense"].rank for each in run for hit in run[each]
    ]
    empty = Run.from_dict({"q": {}})
    for asked in (False, True):
        nothing = empty.to_pandas(full=asked)
        assert list(nothing.columns) == list(frame.columns)
        assert len(nothing) == 0


def test_hits_read_on_after_the_index_is_closed_or_let_go(index: Index) -> None:
    hits = Index(index.directory, encoders=ENCODERS).search("merge sort", k=3)
    gc.collect()
    assert [hit.text for hit in hits] == [BY_ID[hit.doc_id].text for hit in hits]
    hits = index.search("merge sort", k=3)
    index.close()
    assert [hit.text for hit in hits] == [BY_ID[hit.doc_id].text for hit in hits]


def test_a_hit_is_of_its_own_generation(index: Index) -> None:
    hit = index.search("merge sort", k=1)[0]
    index.update([Document(hit.doc_id, "merge sort of something else")])
    assert hit.text == BY_ID[hit.doc_id].text
    (new,) = index.search("merge sort", k=1, filter=None, fusion="sparse")
    index.delete([new.doc_id])
    assert new.doc_id in {"d0000", *BY_ID}
    assert new.text
    assert new.doc_id not in [each.doc_id for each in index.search("merge sort", k=30)]


def test_a_hit_of_a_generation_that_is_gone_says_so(index: Index) -> None:
    read, unread = index.search("merge sort", k=1), index.search("merge sort", k=1)
    assert read[0].text
    index.delete(["d0000"])
    index.compact(purge=True)
    assert read[0].text == BY_ID[read[0].doc_id].text
    with pytest.raises(IndexFormatError, match="gone since the index was changed; search again"):
        unread[0].to_dict()
    assert unread[0].scores == read[0].scores
    assert index.search("merge sort", k=1)[0].text


def test_k_beyond_the_documents_and_an_empty_result(index: Index) -> None:
    hits = index.search("merge sort", k=100)
    assert len(hits) == len(DOCUMENTS)
    assert [hit.text for hit in hits] == [BY_ID[hit.doc_id].text for hit in hits]
    run = index.search({"q": "merge"}, filter="year > 9")
    assert run["q"] == []
    assert len(run.to_pandas(full=True)) == 0
