"""Facets: how many of the hits hold each value of a field."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.corpus import Document
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.errors import UsageError
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.write import write_documents
from hybrid.search.index import Index
from tests.test_cli import Command, hybrid_command
from tests.test_fields_kinds import build

__all__ = ["hybrid_command"]

FIELDS: list[dict[str, Any]] = [
    {"tags": ["red", "blue", "red"], "day": dt.date(2020, 1, 2), "year": 2020, "ok": True},
    {"tags": ["red"], "day": dt.date(2020, 1, 1), "year": 2021, "ok": False},
    {"tags": [], "day": dt.date(2020, 1, 1), "price": 0.5},
    {"tags": None, "year": 2020},
]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    documents = [Document(f"d{at}", "merge", fields=each) for at, each in enumerate(FIELDS)]
    return build(tmp_path / "idx", documents)


def test_values_are_counted_over_the_hits(index: Index) -> None:
    every = index.facets(index.search("merge"), ["tags", "day", "year", "ok", "price"])
    assert every == {
        "tags": {"red": 2, "blue": 1},
        "day": {"2020-01-01": 2, "2020-01-02": 1},
        "year": {2020: 2, 2021: 1},
        "ok": {False: 1, True: 1},
        "price": {0.5: 1},
    }
    assert [list(counts) for counts in every.values()] == [
        ["red", "blue"], ["2020-01-01", "2020-01-02"], [2020, 2021], [False, True], [0.5],
    ]  # fmt: skip
    assert index.facets(index.search("merge", filter="year == 2021"), ["tags"]) == {
        "tags": {"red": 1}
    }
    assert index.facets(["d0", "d0", "d3"], ["year"]) == {"year": {2020: 2}}
    run = index.search({"a": "merge", "b": "merge"}, 3)
    assert index.facets(run, ["year"]) == index.facets(run["a"], ["year"])
    assert index.facets([], ["year"]) == {"year": {}}
    assert index.facets(index.search("merge"), []) == {}


def test_values_are_counted_over_segments_and_not_of_deleted_documents(index: Index) -> None:
    index.add([Document("e", "merge", fields={"tags": ["blue", "new"], "year": 2021})])
    index.delete(["d0"])
    index.add([Document("f", "merge", fields={"kind": "late"})])
    for _ in range(2):
        assert index.facets(index.search("merge"), ["tags", "year", "kind"]) == {
            "tags": {"blue": 1, "new": 1, "red": 1},
            "year": {2021: 2, 2020: 1},
            "kind": {"late": 1},
        }
        index.compact()


@pytest.mark.parametrize(
    ("hits", "fields", "said"),
    [
        (["d0"], ["month"], "no field 'month'; their fields: day, ok, price, tags, year"),
        (["gone"], ["tags"], "no document 'gone'"),
        ("d0", ["tags"], "for hits, .* give a list of texts"),
        (None, ["tags"], "for hits, None .* was given"),
        ([3], ["tags"], "for hits, 3 .*was given at place 0"),
        (["d0"], "tags", "for fields, .*give a list of texts"),
    ],
)
def test_mistakes_are_named(index: Index, hits: Any, fields: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        index.facets(hits, fields)


VALUES = {
    "tags": st.lists(st.sampled_from("abc"), max_size=4),
    "n": st.integers(0, 3),
    "x": st.sampled_from([0.0, -0.0, 0.5, float("nan")]),
    "day": st.dates(dt.date(2020, 1, 1), dt.date(2020, 1, 3)),
}
ROWS = st.lists(st.fixed_dictionaries({k: st.none() | v for k, v in VALUES.items()}), min_size=1)


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(ROWS, st.data())
def test_counts_are_those_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    kinds = FieldKinds({"tags": "list[str]", "n": "int", "x": "float", "day": "date"})
    documents = [
        Document(f"{9999 - at}", "x", fields={name: kinds.value(name, row[name]) for name in row})
        for at, row in enumerate(rows)
    ]
    folder = tmp_path_factory.mktemp("facets")
    write_documents(documents, folder, fields=kinds.kinds)
    store = DocumentStore([DocumentSegment(folder)])
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    counts: dict[str, Counter[Any]] = {name: Counter() for name in VALUES}
    for at in set(chosen):
        for name, value in rows[at].items():
            values = set(value) if isinstance(value, list) else {value}
            counts[name].update(
                each.isoformat() if isinstance(each, dt.date) else each
                for each in values
                if each is not None and each == each
            )
    found = store.facets(chosen, list(VALUES))
    assert found == counts
    for each in found.values():
        assert list(each.items()) == sorted(each.items(), key=lambda item: (-item[1], item[0]))


def test_the_command_counts_over_a_hundred_hits(tmp_path: Path, hybrid_command: Command) -> None:
    lines = [{"id": f"{n:03}", "text": "merge", "n": n % 2, "at": n} for n in range(130)]
    corpus = tmp_path / "c.jsonl"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in lines))
    index = tmp_path / "idx"
    bm25 = ("--sparse", "none", "--dense", "none", "--fields", "n,at")
    assert hybrid_command("build", corpus, "-o", index, *bm25)[0] == 0

    def printed(*arguments: object) -> Any:
        status, out, _ = hybrid_command("search", index, "merge", *arguments, "--json")
        assert status == 0
        return json.loads(out)

    found = printed("-k", 3, "--facets", "n")
    assert len(found["hits"]) == 3
    assert found["facets"] == {"n": [{"value": 0, "count": 50}, {"value": 1, "count": 50}]}
    assert printed("-k", 120, "--facets", "n")["facets"]["n"][0]["count"] == 60
    assert printed("-k", 120)["facets"] is None
    _, out, _ = hybrid_command("search", index, "merge", "-k", 1, "--facets", "n,at")
    assert "n: 0 50, 1 50\n" in out
    assert "at: 30 1, 31 1, 32 1, 33 1, 34 1, 35 1, 36 1, 37 1, 38 1, 39 1, ...\n" in out
    status, _, err = hybrid_command("search", index, "merge", "--facets", "month")
    assert (status, "no field 'month'; their fields: at, n" in err) == (1, True)


def test_facets_of_a_reranked_search_follow_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(f"d{n}", "merge " * (n + 1), fields={"n": n}) for n in range(6)]
    index = build(tmp_path / "idx", documents)
    monkeypatch.setattr("hybrid.search.result.FACET_HITS", 2)
    view = index.view()

    def by_length(query: str, texts: Any) -> list[float]:
        return [float(-len(text)) for text in texts]

    from hybrid.search.options import SearchOptions

    options = SearchOptions(rerank=by_length, rerank_fusion="rerank")
    result = view.search({"q": "merge"}, view.plan(2, options))
    assert result.facets(["n"]) == index.facets(result.run, ["n"])
    assert index.facets(result.run["q"], ["n"]) == {"n": {0: 1, 1: 1}}
    result = view.search({"q": "merge", "r": "none such"}, view.plan(2, options))
    assert result.facets(["n"], query=1) == index.facets(result.run["r"], ["n"])
