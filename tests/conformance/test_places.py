"""What every place must do: it answers as the folder that it was filled from, to the bit."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid import Index, SearchOptions, UsageError
from hybrid.errors import IndexFormatError, ModelMismatchError
from hybrid.fusion.pool import Pool
from hybrid.search import tasks
from tests.conformance.conftest import ODD, WORDS, Place, document, opened, push
from tests.made_encoders import HashSparse
from tests.test_pool_tasks import Elsewhere

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]

Pair = tuple[Index, Index]
QUERIES = ["w1 w2 w3", "w40", " ".join(WORDS[:30]), "w7 w7 absent", "absent"]
FUSIONS = ["bm25", "sparse", "dense", "rrf(k=60)", "cc(norm=minmax)", "cc(norm=tmm)", None]
FILTERS = [
    "year >= 2010",
    "year == 2010.5 or year < 2003.5",
    'lang == "é"',
    'lang != "en" and not (lang in ["de"])',
    "lang is null",
    "score > 0",
    "score is null or not (score >= 0.5)",
    '"b" in tags',
    'tags != "a"',
    'tags < "b"',
    "tags is null",
    "years > 5",
    "ok == true",
    "ok != true or year in [2001, 2002]",
    'day >= "2020-06-01" and day < "2020-07-01"',
    'at < "2020-03-01T12:00:00+02:00"',
    "year > 3000",
]


def hits(index: Index, query: str, **options: Any) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for hit in index.search(query, **options)]


def assert_same_pool(one: Pool, other: Pool) -> None:
    for name in ("offsets", "doc_nums", "scores", "ranks", "minimum"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_first_k_are_those_of_the_folder(pair: Pair, fusion: str | None) -> None:
    folder, there = pair
    for query, k in zip(QUERIES, (10, 1000, 20, 1, 3), strict=True):
        assert hits(there, query, k=k, fusion=fusion) == hits(folder, query, k=k, fusion=fusion)


def test_a_list_that_ends_among_equal_scores_is_cut_by_id(pair: Pair) -> None:
    tied = 0
    for number in range(9, 160, 20):
        query = document(number).full_text
        for depth in (1, 2, 3):
            found = [hits(each, query, k=depth, depth=depth, fusion="dense") for each in pair]
            assert found[0] == found[1]
            tied += len({score for _, score in found[0]}) < len(found[0])
    assert tied


@pytest.mark.parametrize("text", FILTERS)
def test_filters_select_what_they_do_in_the_folder(pair: Pair, text: str) -> None:
    folder, there = pair
    selected = [each.view().contents.select(text).doc_nums.tolist() for each in pair]
    assert selected[0] == selected[1]
    for query in QUERIES[:1]:
        assert hits(there, query, filter=text) == hits(folder, query, filter=text)


@pytest.mark.parametrize("text", ["nothing == 1", 'year == "x"', '"a" in lang', "year =="])
def test_filters_that_cannot_be_are_refused_alike(pair: Pair, text: str) -> None:
    said = []
    for index in pair:
        with pytest.raises(UsageError) as refused:
            index.search("w1", filter=text)
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_pools_have_the_same_bits(pair: Pair) -> None:
    folder, there = pair
    for options in ({}, {"depth": 7}, {"filter": FILTERS[0]}, {"branches": ["dense"]}):
        assert_same_pool(folder.pool(QUERIES, **options), there.pool(QUERIES, **options))  # type: ignore[arg-type]


def test_hits_explanations_passages_and_facets_are_the_same(pair: Pair) -> None:
    folder, there = pair
    for query in QUERIES[:2]:
        found = folder.search(query, k=5)
        assert repr([h.to_dict() for h in there.search(query, k=5)]) == repr(
            [h.to_dict() for h in found]
        )
        assert there.explain(query, k=5) == folder.explain(query, k=5)
        ids = [hit.doc_id for hit in found]
        assert there.best_passages(query, ids) == folder.best_passages(query, ids)
        assert there.facets(found, ["tags", "year"]) == folder.facets(found, ["tags", "year"])


def test_copies_are_left_out_alike(pair: Pair) -> None:
    folder, there = pair
    query = document(9).text
    assert hits(there, query, distinct=True) == hits(folder, query, distinct=True)


def test_odd_ids_and_their_documents_come_back(pair: Pair) -> None:
    folder, there = pair
    for number, doc_id in enumerate(ODD):
        if number != 3:
            assert there.document(doc_id) == folder.document(doc_id)
    with pytest.raises(UsageError, match="has no document 'nobody'"):
        there.document("nobody")
    assert list(there.view().contents.doc_ids) == list(folder.view().contents.doc_ids)


def test_the_summary_is_that_of_the_folder(pair: Pair) -> None:
    mine, theirs = (each.info().to_dict() for each in pair)
    for name in ("directory", "created", "segments", "deleted"):
        del mine[name], theirs[name]
    assert theirs == mine


def test_no_hit_is_an_empty_list(pair: Pair) -> None:
    _, there = pair
    assert there.search("absent", fusion="bm25") == []
    assert there.search("w1", filter="year > 3000") == []


def test_queries_and_branches_that_cannot_be_are_refused(pair: Pair) -> None:
    _, there = pair
    for query, options in (("", {}), ("w1", {"k": 0}), ("w1", {"fusion": "nobody"})):
        with pytest.raises(UsageError):
            there.search(query, **options)  # type: ignore[call-overload]


def test_another_process_opens_the_same(pair: Pair) -> None:
    folder, there = pair
    assert hits(pickle.loads(pickle.dumps(there)), "w1 w2") == hits(folder, "w1 w2")  # noqa: S301


def test_a_pool_of_tasks_is_that_of_the_folder(pair: Pair) -> None:
    folder, there = pair
    asked: dict[str, Any] = {"branches": ["bm25"], "depth": 50, "filter": "year >= 2010"}
    found = there.pool(QUERIES, executor=Elsewhere(), **asked)
    assert_same_pool(found, folder.pool(QUERIES, **asked))
    tasks._opened.cache_clear()


def test_the_wrong_model_is_refused(place: Place, made: dict[str, Path]) -> None:
    import hybrid

    address = place.new()
    push(made["documents"], address)
    with hybrid.open(address, encoders={"sparse": HashSparse(64)}) as there:
        with pytest.raises(ModelMismatchError):
            there.search("w1", fusion="sparse")
        assert there.search("w1", fusion="bm25")


def test_a_view_keeps_its_generation_while_another_is_pushed(
    place: Place, made: dict[str, Path], tmp_path: Path
) -> None:
    address = place.new()
    folder = Path(address) if place.name == "folder" else tmp_path / "changed"
    shutil.copytree(made["documents"], folder)
    if place.name != "folder":
        push(folder, address)
    with opened(folder) as local, opened(address) as there:
        view, before = there.view(), hits(there, "w1 w2 w3", fusion="bm25", k=200)
        local.delete([before[0][0]])
        if place.name == "bucket":  # it takes each generation that follows, or none
            push(folder, address)
        local.update([document(77, 2), document(900)])
        if place.name != "folder":
            push(folder, address)
        assert hits(there, "w1 w2 w3", fusion="bm25", k=200) == before
        there.reopen()
        after = hits(there, "w1 w2 w3", fusion="bm25", k=200)
        assert after == hits(local, "w1 w2 w3", fusion="bm25", k=200)
        assert before[0][0] not in dict(after)
        plan = view.plan(200, SearchOptions(fusion="bm25"))
        assert view.search({"1": "w1 w2 w3"}, plan).run.doc_ids("1") == tuple(dict(before))


def test_a_generation_that_is_gone_is_said(
    place: Place, made: dict[str, Path], tmp_path: Path
) -> None:
    if place.name in ("folder", "bucket"):
        pytest.skip("files are kept as long as somebody reads them")
    folder, address = tmp_path / "changed", place.new()
    shutil.copytree(made["documents"], folder)
    push(folder, address)
    with opened(folder) as local, opened(address) as there:
        found = there.search("w1", k=1)
        for number in (900, 901):
            local.update([document(number)])
            push(folder, address)
        with pytest.raises(IndexFormatError, match="open it again"):
            there.search("w2")
        with pytest.raises(IndexFormatError):
            _ = found[0].text
        there.reopen()
        assert hits(there, "w2") == hits(local, "w2")


def test_an_engine_is_not_changed_through_its_address(place: Place, made: dict[str, Path]) -> None:
    if place.name == "folder":
        pytest.skip("a folder is changed")
    address = place.new()
    push(made["documents"], address)
    with opened(address) as there, pytest.raises(UsageError, match="push it again"):
        there.delete(["d0100"])
