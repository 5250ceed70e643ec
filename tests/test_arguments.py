"""What the verbs of an index say of arguments of the wrong kind, and that nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hybrid
from hybrid.corpus import Document
from hybrid.errors import UsageError, several_texts, whole_number
from hybrid.index.storage.generation import read_current
from hybrid.search.index import Index

NEW = Document("new", "merge lists")


def test_whole_numbers_and_texts() -> None:
    assert [whole_number("k", value) for value in (1, np.int64(7), np.uint8(3))] == [1, 7, 3]
    assert type(whole_number("k", np.int64(7))) is int
    assert several_texts("ids", (each for each in "ab")) == ["a", "b"]
    assert several_texts("ids", {"a": 1}) == ["a"]
    assert several_texts("ids", []) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda index: index.search("json", k="3"), r"k is '3' \(str\); give a whole number, 1 or"),
        (lambda index: index.search("json", k=True), r"k is True \(bool\)"),
        (lambda index: index.search("json", k=2.0), r"k is 2.0 \(float\)"),
        (lambda index: index.search("json", depth="3"), r"depth is '3' \(str\)"),
        (lambda index: index.pool({"1": "json"}, depth=False), r"depth is False \(bool\)"),
        (lambda index: index.search(5), r"for query, 5 \(int\) was given; give a list of texts"),
        (lambda index: index.search(None), r"for query, None \(NoneType\)"),
        (lambda index: index.search(b"json"), r"for query, b'json' \(bytes\)"),
        (lambda index: index.search({"json"}), "a set, which has no order"),
        (lambda index: index.search(["json", 5]), r"5 \(int\) was given at place 1; give texts"),
        (lambda index: index.search({"q": None}), r"None \(NoneType\) was given at place 0"),
        (lambda index: index.search({1: "json"}), r"for query ids, 1 \(int\) was given at place 0"),
        (lambda index: index.search("json", fusion=5), r"fusion is 5 \(int\); give one such as"),
        (lambda index: index.search("json", filter={"a": 1}), "the documents have no field 'a'"),
        (lambda index: index.search("json", filter=5), r"filter is 5 \(int\)"),
        (lambda index: index.delete("json.load"), r"for doc_ids, 'json.load' \(str\) was given"),
        (lambda index: index.delete(5), r"for doc_ids, 5 \(int\)"),
        (lambda index: index.delete(["json.load", 5]), r"5 \(int\) was given at place 1"),
        (lambda index: index.add(NEW), r"for documents, Document\(doc_id='new'.* give a list of"),
        (lambda index: index.add("text"), r"for documents, 'text' \(str\)"),
        (lambda index: index.add({"_id": "new", "text": "x"}), r"for documents, {.*\(dict\)"),
        (lambda index: index.add([NEW, {"_id": "a"}]), r"{'_id': 'a'} \(dict\) was given at pla"),
        (lambda index: index.update([("a", "text")]), r"\(tuple\) was given at place 0; give hyb"),
        (lambda index: index.add([Document(5, "x")]), r"the doc_id .* at place 0 is 5 \(int\)"),
        (lambda index: index.add([NEW, Document("a", None)]), r"the text .* at place 1 is None"),
        (lambda index: index.add([NEW], memory="4GB"), r"memory limit in bytes is '4GB' \(str\)"),
    ],
)
def test_arguments_of_another_kind_are_refused_and_change_nothing(
    tiny_copy: Path, call: Callable[[Any], object], said: str
) -> None:
    before = read_current(tiny_copy), sorted(tiny_copy.rglob("*"))
    with hybrid.open(tiny_copy) as index:
        count = len(index)
        with pytest.raises(UsageError, match=said):
            call(index)
        assert len(index) == count
    assert (read_current(tiny_copy), sorted(tiny_copy.rglob("*"))) == before


def test_anything_that_gives_texts_is_searched(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        expected = index.search(["json", "lists"], k=3)
        for queries in (("json", "lists"), np.array(["json", "lists"]), iter(["json", "lists"])):
            assert same(index, queries, expected)
        assert index.search("json", k=np.int64(3)) == index.search("json", k=3)


def same(index: Index, queries: Any, expected: Any) -> bool:
    found = index.search(queries, k=3)
    return all(found[query_id] == expected[query_id] for query_id in ("1", "2"))


@pytest.mark.parametrize(
    "call",
    [
        lambda: hybrid.open(None),
        lambda: hybrid.open_source(3),
        lambda: hybrid.build_index(hybrid.open_source("stdlib"), None),
        lambda: hybrid.verify_index(None),
        lambda: hybrid.compact_index(None),
        lambda: hybrid.snapshot_index(None, "copy"),
        lambda: hybrid.read_qrels(None),
    ],
)
def test_a_path_is_a_text_or_a_path(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=r"is (None \(NoneType\)|3 \(int\)); give a path"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hybrid.rrf(k="x"), r"k is 'x' \(str\); give a number"),
        (lambda: hybrid.cc(alpha="x"), r"alpha is 'x' \(str\); give a number"),
        (lambda: hybrid.cc(depth="x"), r"depth is 'x' \(str\); give a number"),
        (lambda: hybrid.cc(weights={"a": None}), r"a is None \(NoneType\); give a number"),
        (lambda: hybrid.Fusion.parse(3), "3 is no fusion"),
    ],
)
def test_a_fusion_takes_numbers(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hybrid.Run.from_dict(3), r"for a run, 3 \(int\) was given"),
        (lambda: hybrid.fuse_runs(3, hybrid.rrf(), 10), r"for runs, 3 \(int\) was given"),
        (lambda: hybrid.fuse_runs({"a": {}}, hybrid.rrf(), 10), r"for runs, \{'a': \{\}\}"),
        (lambda: hybrid.fuse_runs({}, hybrid.rrf(), "x"), r"k is 'x' \(str\)"),
    ],
)
def test_runs_are_runs(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_examples_to_train_on_are_a_path_or_examples(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"for examples, 3 \(int\) was given"):
        hybrid.train(3, tmp_path / "model")
