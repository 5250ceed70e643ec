"""What is asked of a search is resolved once, and each branch encodes its queries once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from threading import Event
from typing import Any, get_type_hints

import pytest

from hybrid.build.create import BuildOptions, build_index
from hybrid.corpus import Passages
from hybrid.errors import UsageError
from hybrid.fusion.pool import Pool
from hybrid.index.documents.passages import MaxPassage
from hybrid.index.hybrid import HybridIndex
from hybrid.search import branches, plan, view
from hybrid.search import index as opening
from hybrid.search.index import Index
from hybrid.search.latency import stage_latencies
from hybrid.search.options import SearchKeywords, SearchOptions, options_given
from hybrid.tune.space import default_over
from tests.made_encoders import HashDense, HashSparse
from tests.test_cli import Command, hybrid_command
from tests.test_living import Memory, document

__all__ = ["hybrid_command"]

ASKED = {"fusion": "rrf(k=60)", "depth": 8, "filter": "year > 2"}
FLAGS = [text for name, value in ASKED.items() for text in (f"--{name}", str(value))]


class Counted:
    """Counts the calls of ``encode_queries``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: Counter[str] = Counter()

    def encode_queries(self, texts: Any) -> Any:
        self.calls[self.name] += 1
        return super().encode_queries(texts)  # type: ignore[misc]


class CountedSparse(Counted, HashSparse):
    def __init__(self, name: str) -> None:
        HashSparse.__init__(self)
        Counted.__init__(self, name)


class CountedDense(Counted, HashDense):
    def __init__(self, name: str) -> None:
        HashDense.__init__(self)
        Counted.__init__(self, name)


@pytest.fixture(params=[None, Passages(3, 1)], ids=["documents", "passages"])
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    documents = [replace(document(n), fields={"year": n % 5}) for n in range(60)]
    build_index(
        Memory(documents),
        tmp_path / "index",
        BuildOptions(passages=request.param),
        encoders={"sparse": HashSparse(), "dense": HashDense()},
    )
    return tmp_path / "index"


@pytest.fixture
def opened(built: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Index, Counter[str]]:
    """An index that counts encodes; the command line opens it, too."""
    encoders = {"sparse": CountedSparse("sparse"), "dense": CountedDense("dense")}
    encoders["dense"].calls = encoders["sparse"].calls
    index = Index(built, encoders=encoders)  # type: ignore[arg-type]
    monkeypatch.setattr(opening, "open_index", lambda directory, **_: index)
    return index, encoders["sparse"].calls


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a fusion, depth and filter are resolved."""
    calls: Counter[str] = Counter()

    def count(owner: Any, name: str, called: str) -> None:
        plain = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            calls[called] += 1
            return plain(*given, **named)

        monkeypatch.setattr(owner, name, counted)

    count(plan, "chosen_fusion", "fusion")
    count(view, "chosen_fusion", "fusion")
    count(plan, "search_depth", "depth")
    count(HybridIndex, "select", "filter")
    return calls


CALLS: dict[str, Callable[[Index], Any]] = {
    "search": lambda index: index.search("merge sort", 3, **ASKED),
    "options": lambda index: index.search(["merge", "sort"], options=SearchOptions(**ASKED)),  # type: ignore[arg-type]
    "explain": lambda index: index.explain("merge sort", k=3, **ASKED),
    "one of the rest": lambda index: index.explain("merge sort", ["d0001"], **ASKED),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_search_resolves_each_of_its_options_once(
    opened: tuple[Index, Counter[str]], resolved: Counter[str], name: str
) -> None:
    CALLS[name](opened[0])
    assert resolved == {"fusion": 1, "depth": 1, "filter": 1}


@pytest.mark.parametrize("command", ["search", "explain"])
def test_a_command_resolves_each_option_once(
    opened: tuple[Index, Counter[str]],
    resolved: Counter[str],
    hybrid_command: Command,
    command: str,
) -> None:
    index, encodes = opened
    named = ["d0001"] if command == "explain" else []
    status, out, err = hybrid_command(command, index.directory, "merge", *named, *FLAGS, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found if command == "search" else found["explanations"][0])["fusion"] == "rrf(k=60)"
    assert resolved == {"fusion": 1, "depth": 1, "filter": 1}
    assert encodes == {"sparse": 1, "dense": 1}


@pytest.mark.parametrize("name", CALLS)
def test_each_branch_encodes_once(opened: tuple[Index, Counter[str]], name: str) -> None:
    index, encodes = opened
    CALLS[name](index)
    assert encodes == {"sparse": 1, "dense": 1}


def test_explanations_and_passages_of_a_search_encode_nothing_again(
    opened: tuple[Index, Counter[str]],
) -> None:
    index, encodes = opened
    now = index.view()
    result = now.search({"a": "merge", "b": "sort heap"}, now.plan(5))
    doc_ids = result.run.doc_ids("b")
    explained = result.explain([*doc_ids, "d0001", "d0002"], query=1)
    passages = result.best_passages(doc_ids, query=1)
    assert encodes == {"sparse": 1, "dense": 1}
    assert [each.doc_id for each in explained[:5]] == list(doc_ids)
    assert [each.rank for each in explained[:5]] == [1, 2, 3, 4, 5]
    whole = isinstance(now.contents.branch("sparse"), MaxPassage)
    assert [bool(each) for each in passages] == [whole] * 5
    assert passages == now.best_passages("sort heap", doc_ids)
    assert result.explain([]) == []
    with pytest.raises(UsageError, match="absent"):
        result.explain(["absent"])


def test_latencies_encode_each_query_once(opened: tuple[Index, Counter[str]]) -> None:
    index, encodes = opened
    stage_latencies(index.view(), {"a": "merge", "b": "sort", "c": "heap"}, index.plan(), count=3)
    assert encodes == {"sparse": 2 + 3, "dense": 2 + 3}  # two searches warm up


def test_an_explanation_is_of_the_search_with_its_arguments(
    opened: tuple[Index, Counter[str]],
) -> None:
    index, _ = opened
    for asked in ({}, ASKED, {"fusion": "cc(norm=tmm, depth=4)"}, {"depth": 2, "fusion": "rrf"}):
        for k in (1, 7):
            hits = index.search("merge sort heap", k, **asked)  # type: ignore[arg-type]
            found = index.explain("merge sort heap", k=k, **asked)  # type: ignore[arg-type]
            assert [(each.doc_id, each.rank) for each in found] == [
                (hit.doc_id, hit.rank) for hit in hits
            ]
            assert [each.score for each in found] == pytest.approx([hit.score for hit in hits])
            assert found == index.explain(
                "merge sort heap",
                [hit.doc_id for hit in hits],
                k,
                **asked,  # type: ignore[arg-type]
            )


def test_options_are_given_whole_or_as_keywords(opened: tuple[Index, Counter[str]]) -> None:
    index, _ = opened
    whole = SearchOptions(**ASKED)  # type: ignore[arg-type]
    assert index.search("merge", options=whole) == index.search("merge", **ASKED)  # type: ignore[arg-type]
    assert index.plan(options=whole) == index.plan(**ASKED)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="options and depth are both given"):
        index.search("merge", options=whole, depth=3)
    with pytest.raises(UsageError, match=r"takes no 'fusoin'; it takes options, or fusion, domain"):
        index.explain("merge", fusoin="rrf")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"for doc_ids, 'd0001' \(str\) was given"):
        index.explain("merge", "d0001")
    with pytest.raises(UsageError, match=r"5 \(int\) was given"):
        index.explain(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="query 'query' is empty"):
        index.explain(" ")


def test_keywords_and_fields_of_the_options_are_the_same() -> None:
    hints = get_type_hints(SearchOptions)
    assert get_type_hints(SearchKeywords) == hints
    assert [each.name for each in fields(SearchOptions)] == list(hints)
    assert options_given(None, {}) == SearchOptions()


def test_a_search_does_not_wait_for_threads_that_are_busy(
    opened: tuple[Index, Counter[str]],
) -> None:
    index, calls = opened
    expected = index.search("merge sort", 5)
    calls.clear()
    free = Event()
    busy = [branches._THREADS.pool.submit(free.wait, 60) for _ in range(20)]
    try:
        assert index.search("merge sort", 5) == expected
        assert not any(each.done() for each in busy)
    finally:
        free.set()
    assert calls == {"sparse": 1, "dense": 1}


@pytest.mark.parametrize("failing", ["sparse", "dense"])
def test_the_error_of_a_branch_is_told_wherever_it_is_searched(
    opened: tuple[Index, Counter[str]], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    plain = branches.search_branch

    def searched(index: Any, name: str, *given: Any) -> Any:
        if name == failing:
            raise UsageError(f"{name} fails")
        return plain(index, name, *given)

    monkeypatch.setattr(branches, "search_branch", searched)
    with pytest.raises(UsageError, match=f"{failing} fails"):
        opened[0].search("merge sort", 5)


def test_a_pool_does_not_change_with_how_it_is_asked_for(
    opened: tuple[Index, Counter[str]],
) -> None:
    index, _ = opened
    now = index.view()
    result = now.search({"a": "merge sort"}, now.plan(5, SearchOptions(depth=9)))
    pool = index.pool({"a": "merge sort"}, depth=9)
    assert isinstance(pool, Pool)
    assert (result.pool.scores == pool.scores).all()
    assert (result.pool.ranks == pool.ranks).all()
    assert result.pool.depth == pool.depth == result.plan.depth == 9


def test_a_stored_fusion_that_leaves_a_branch_out_does_not_encode_for_it(tmp_path: Path) -> None:
    encoders: dict[str, Any] = {
        "bm25": HashSparse(32),
        "sparse": CountedSparse("sparse"),
        "dense": CountedDense("dense"),
    }
    counted = encoders["sparse"].calls, encoders["dense"].calls
    build_index(Memory([document(n) for n in range(30)]), tmp_path / "index", encoders=encoders)
    with Index(tmp_path / "index", encoders=encoders) as index:
        index.store_domain("default", default_over(("bm25", "dense")))
        for calls in counted:  # the build reads a query, too
            calls.clear()
        assert index.search("merge sort", 5)
        assert [dict(calls) for calls in counted] == [{}, {"dense": 1}]
        assert index.search("merge sort", 5, fusion="cc(norm=minmax)")
        assert [dict(calls) for calls in counted] == [{"sparse": 1}, {"dense": 2}]
