"""Copies: documents with the title and text of another, counted and left out on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.build.create import BuildOptions, BuildReport, build_index
from hybrid.corpus import Document, Passages
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from tests.made_encoders import HashDense, HashSparse
from tests.test_cli import Command, hybrid_command
from tests.test_living import Memory

__all__ = ["hybrid_command"]

ENCODERS = {"sparse": HashSparse(), "dense": HashDense()}
HELD = [
    *(Document(f"a{n}", "merge sort", title="one", fields={"n": n}) for n in range(4)),
    Document("b", "merge a heap"),
    Document("c", "merge a heap", title="other"),
    *(Document(f"d{n}", "a queue") for n in range(3)),
    Document("e", "one merge sort"),  # the text that encoders see of those before
]
COPIES = 3 + 2 + 1


def built(path: Path, passages: Passages | None = None) -> BuildReport:
    return build_index(Memory(HELD), path, BuildOptions(passages=passages), encoders=ENCODERS)


@pytest.mark.parametrize("passages", [None, Passages(2)])
def test_copies_are_counted_and_left_out(tmp_path: Path, passages: Passages | None) -> None:
    report = built(tmp_path / "index", passages)
    assert report.copies == COPIES == report.to_dict()["copies"]
    assert any("6 documents have the title and text of another" in each for each in report.lines())
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        for query in ("merge sort", "queue"):
            whole = index.search(query, k=20)
            seen: set[str] = set()
            expected = []
            for hit in whole:
                text = f"{hit.title} {hit.text}".strip()
                if text not in seen:
                    expected.append(hit.doc_id)
                seen.add(text)
            assert len(whole) == len(HELD)
            for k in (1, 2, 3, 20):
                hits = index.search(query, k=k, distinct=True)
                assert [hit.doc_id for hit in hits] == expected[:k]
                assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
                scores = {hit.doc_id: hit.score for hit in whole}
                assert all(scores[hit.doc_id] == hit.score for hit in hits)


def test_each_query_has_its_own_copies(tmp_path: Path) -> None:
    built(tmp_path / "index")
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        queries = {"a": "merge sort", "b": "merge sort", "c": "queue"}
        run = index.search(queries, k=3, distinct=True)
        assert run.doc_ids("a") == run.doc_ids("b")
        assert all(
            run[each] == index.search(text, k=3, distinct=True) for each, text in queries.items()
        )
        kept = index.search("merge sort", distinct=True, filter="n > 1")
        assert [hit.doc_id for hit in kept] == ["a3"]


def test_a_reranker_scores_no_copy(tmp_path: Path) -> None:
    built(tmp_path / "index")
    scored: list[str] = []

    def length(_: str, texts: Sequence[str]) -> Any:
        scored.extend(texts)
        return np.array([len(text) for text in texts], dtype=np.float32)

    options = {"rerank": length, "rerank_depth": 3, "rerank_fusion": "rerank", "distinct": True}
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        first = [hit.doc_id for hit in index.search("merge sort", k=4, distinct=True)]
        hits = index.search("merge sort", k=4, **options)  # type: ignore[call-overload]
    assert len(scored) == len(set(scored)) == 3
    assert {hit.doc_id for hit in hits[:3]} == set(first[:3])
    assert hits[3].doc_id == first[3]


def test_an_explanation_agrees_with_the_search(tmp_path: Path) -> None:
    built(tmp_path / "index")
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        names = [each.doc_id for each in HELD]
        for fusion in ("cc(norm=minmax)", "rrf", "dense"):
            told = {"fusion": fusion, "distinct": True}
            returned = index.search("merge sort", k=20, **told)  # type: ignore[call-overload]
            places = {hit.doc_id: hit.rank for hit in returned}
            for k in (1, 3, 20):
                found = index.explain("merge sort", names, k, **told)  # type: ignore[arg-type]
                for each in found:
                    assert each.rank == places.get(each.doc_id, 0)
                    assert each.candidates == len(places)
                    assert (each.missed is None) == (0 < each.rank <= k)
                    if each.missed is not None:
                        cause = "fusion" if each.doc_id in places else "copy"
                        assert each.missed.cause == cause
                        assert (each.missed.lacks is None) == (cause == "copy")
        copied = index.explain("merge sort", ["a0"], 3, distinct=True)[0]
        assert copied.to_dict()["rank"] is None
        assert "rank - of" in copied.result
        assert str(copied.missed) == "not in the top 3: it is a copy of a better one"
        (e,) = index.explain("merge sort", ["e"], 3, distinct=True, fusion="cc(norm=minmax)")
        others = dict(e.others)
        for fusion in ("sparse", "dense", "cc(norm=tmm)"):
            hits = index.search("merge sort", k=20, distinct=True, fusion=fusion)
            assert others[fusion] == [hit.doc_id for hit in hits].index("e") + 1


def test_an_explanation_of_a_filtered_search_tells_copies_from_the_filtered(tmp_path: Path) -> None:
    built(tmp_path / "index")
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        found = index.explain(
            "merge sort", ["a3", "a2", "a0", "b"], 3, distinct=True, filter="n > 1"
        )
        assert [each.missed and each.missed.cause for each in found] == [
            None, "copy", "filter", "filter",
        ]  # fmt: skip


def test_facets_count_no_copy(tmp_path: Path) -> None:
    held = [*HELD, Document("f", "a queue of n", fields={"n": 9})]
    build_index(Memory(held), tmp_path / "index", BuildOptions(), encoders=ENCODERS)
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        view = index.view()
        for k in (1, 20):
            for again in ({}, {"rerank": lambda _, texts: [*map(len, texts)], "rerank_depth": 2}):
                options = SearchOptions(distinct=True, **again)  # type: ignore[arg-type]
                queries = {"a": "queue", "b": "merge sort"}
                result = view.search(queries, view.plan(k, options))
                whole = view.search(queries, view.plan(20, options)).run
                for query, name in enumerate(queries):
                    found = result.facets(["n"], query=query)
                    assert found == index.facets(whole[name], ["n"])
                    assert found == {"n": {9: 1}}


def test_texts_are_read_only_as_far_as_the_list_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tmp_path / "index")
    with Index(tmp_path / "index", encoders=ENCODERS) as index:
        store = type(index.contents.documents)
        read: list[int] = []
        plain = store.__getitem__

        def counted(self: Any, doc_num: Any) -> Any:
            read.append(doc_num)
            return plain(self, doc_num)

        monkeypatch.setattr(store, "__getitem__", counted)
        index.search("merge sort", k=2)
        assert read == []
        index.search("merge sort", k=2, distinct=True)
        assert 2 <= len(read) <= 6


def test_the_command_takes_it(hybrid_command: Command, tmp_path: Path) -> None:
    source = tmp_path / "docs.jsonl"
    rows = [{"_id": each.doc_id, "title": each.title, "text": each.text} for each in HELD]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    index = tmp_path / "index"
    status, out, err = hybrid_command(
        *("build", source, "-o", index, "--sparse", "none", "--dense", "none")
    )
    assert status == 0, err
    assert "copies: 6 documents have the title and text of another" in out
    search = ("search", index, "merge", "--json")
    plain = json.loads(hybrid_command(*search)[1])["hits"]
    distinct = json.loads(hybrid_command(*search, "--distinct")[1])["hits"]
    assert (len(plain), len(distinct)) == (7, 3)
