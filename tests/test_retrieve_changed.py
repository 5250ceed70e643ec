"""One Index that is read while it is changed: each call sees one generation to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document, Passages
from hybrid.search.index import Index
from hybrid.search.latency import stage_latencies
from hybrid.search.options import SearchOptions
from hybrid.search.view import View
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import Memory

TEXTS = {"m": "merge two lists and sort them", "q": "queue of merge jobs", "j": "read json"}
DOCUMENTS = [
    Document(f"{name}{n}", text, fields={"year": 2000 + n})
    for name, text in TEXTS.items()
    for n in range(3)
]
LATER = [Document(f"{name}{n}", "merge") for name in "az" for n in range(3)]
Call = Callable[[Index], Any]


class Interrupted(HashSparse):
    """Does something once, after it has encoded a query: what another thread might do then."""

    meanwhile: Callable[[], object] | None = None

    def encode_queries(self, texts: Sequence[str]) -> Any:
        encoded = super().encode_queries(texts)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return encoded


def build(directory: Path, *, passages: Passages | None = None) -> tuple[Index, Interrupted]:
    encoders = {"sparse": HashSparse(), "dense": HashDense()}
    options = BuildOptions(weights="float32", passages=passages)
    build_index(Memory(DOCUMENTS), directory, options, encoders=encoders)
    interrupted = Interrupted()
    return Index(directory, encoders={**encoders, "sparse": interrupted}), interrupted


def pooled(index: Index | View) -> list[Any]:
    view = index.view() if isinstance(index, Index) else index
    pool = view.pool({"a": "merge", "b": "json"}, view.pool_plan(SearchOptions(depth=20)))
    doc_ids = [pool.doc_ids[doc_num] for doc_num in pool.doc_nums]
    return [pool.depth, doc_ids, pool.scores.tolist(), pool.ranks.tolist()]


CALLS: list[Call] = [
    lambda index: index.search("merge", k=3, fusion="sparse"),
    lambda index: index.search({"a": "merge", "b": "json"}, k=20, filter="year >= 2001"),
    pooled,
    lambda index: index.explain("merge", ["m1", "q2"]),
    lambda index: index.explain("merge", k=3, filter="year >= 2001"),
    lambda index: len(
        stage_latencies(index.view(), {"a": "merge"}, index.plan(20, fusion="sparse"))
    ),
]


@pytest.mark.parametrize("passages", [None, Passages(3, 1)], ids=["documents", "passages"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_sees_the_generation_that_it_began_with(
    tmp_path: Path, call: Call, passages: Passages | None
) -> None:
    index, encoder = build(tmp_path / "idx", passages=passages)
    assert_one_generation(index, encoder, call)


def test_best_passages_are_of_one_generation(tmp_path: Path) -> None:
    index, encoder = build(tmp_path / "idx", passages=Passages(3, 1))
    assert_one_generation(index, encoder, lambda now: now.best_passages("merge", ["m1", "q2"]))


def assert_one_generation(index: Index, encoder: Interrupted, call: Call) -> None:
    """A call during which the index is changed returns what it returns without."""
    before = call(index)

    def change() -> None:
        index.add(LATER)
        index.delete(["m0", "m2", "q0"])
        index.compact()

    encoder.meanwhile = change
    assert call(index) == before
    assert encoder.meanwhile is None
    assert len(index) == len(DOCUMENTS) + len(LATER) - 3


def test_a_view_stays_and_the_index_goes_on(tmp_path: Path) -> None:
    index, _ = build(tmp_path / "idx")
    view = index.view()
    before = pooled(index)
    for document in LATER:  # with one earlier generation kept, the first would be removed
        index.add([document])
    assert pooled(view) == before
    assert view.document("m0") == DOCUMENTS[0]
    assert (len(view), len(index)) == (len(DOCUMENTS), len(DOCUMENTS) + len(LATER))
    assert index.document("z2") == LATER[-1]
    held = len(list((tmp_path / "idx" / "generations").iterdir()))
    del view
    index.delete(["z2"])
    assert len(list((tmp_path / "idx" / "generations").iterdir())) < held


def test_threads_search_while_one_changes(tmp_path: Path) -> None:
    index, _ = build(tmp_path / "idx")
    query = {"a": "merge sort", "b": "json"}
    done, wrong = False, []

    def read() -> None:
        while not done:
            run = index.search(query, k=5)
            scores = [hit.score for hit in run["a"]]
            if len(run["a"]) != 5 or not (np.diff(scores) <= 0).all():
                wrong.append(run)

    threads = [Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(6):
            index.add([Document(f"n{number}", "merge sort merge")])
            index.delete([f"n{number}"])
    finally:
        done = True
        for thread in threads:
            thread.join()
    assert wrong == []
