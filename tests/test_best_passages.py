"""The passage shown of a document is the one that gave it its score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid.corpus import Document
from hybrid.errors import UsageError
from hybrid.index.documents.passages import MaxPassage
from hybrid.search.passages import BestPassage
from tests.test_living import QUERIES
from tests.test_passages import ALL, build, long_document

TEXT = "heap queue time zone merge sort file path"


def test_each_branch_names_the_passage_that_scored_the_document(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [long_document(number) for number in range(30)])
    index.delete(["d0004"])
    index.add([long_document(40)])
    contents = index.contents
    table = contents.passages
    assert table is not None
    ids = list(contents.doc_ids)
    every = np.arange(len(ids), dtype=np.int32)[None]
    named = 0
    for query in QUERIES[:3]:
        found = index.best_passages(query, ids)
        for name in ALL:
            branch = contents.branch(name)
            assert isinstance(branch, MaxPassage)
            encoded = index.encoder(name).encode_queries([query])
            scores = branch.score(encoded, every)[0]
            for number, passages in enumerate(found):
                mine = [each for each in passages if name in each.branches]
                if name != "dense" and scores[number] == 0:
                    assert mine == []
                    continue
                rows = np.arange(table.offsets[number], table.offsets[number + 1], dtype=np.int32)
                values = branch.rows.score(encoded, rows[None])[0]
                (passage,) = mine
                assert passage.number == int(np.argmax(values)) + 1
                assert values[passage.number - 1] == scores[number]
                text = contents.documents[number].text
                assert text[passage.start : passage.stop] == passage.text
                named += 1
    assert named > 90


def test_the_passage_of_most_branches_comes_first(tmp_path: Path) -> None:
    document = Document("d", TEXT)
    index = build(tmp_path / "idx", [document, Document("e", "json")])
    votes: dict[str, int] = {"bm25": 1, "sparse": 0, "dense": 0}
    for name, row in votes.items():
        branch = index.contents.branch(name)
        assert isinstance(branch, MaxPassage)
        offset = int(branch.offsets[index.contents.documents.doc_num("d")])
        branch.best_rows = lambda queries, nums, row=offset + row: np.array([[row]])  # type: ignore[method-assign,misc]
    (found,) = index.best_passages("merge heap", ["d"])
    assert [(each.number, each.branches) for each in found] == [
        (1, ("sparse", "dense")),
        (2, ("bm25",)),
    ]
    assert found[0] == BestPassage(1, 0, 20, TEXT[:20], ("sparse", "dense"))
    assert found[0].to_dict()["text"] == "heap queue time zone"
    # With two branches of one passage each, the first of them leads.
    (found,) = index.best_passages("merge heap", ["d"], ["bm25", "dense"])
    assert [each.branches for each in found] == [("bm25",), ("dense",)]


def test_documents_that_are_not_cut_have_none(tmp_path: Path) -> None:
    index = build(tmp_path / "idx", [long_document(1), long_document(2)], window=None)
    assert index.best_passages("merge", ["d0001", "d0002"]) == [(), ()]
    cut = build(tmp_path / "cut", [long_document(1)])
    assert cut.best_passages("merge", []) == []
    with pytest.raises(UsageError, match="absent"):
        cut.best_passages("merge", ["absent"])
