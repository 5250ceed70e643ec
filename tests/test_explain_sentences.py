"""Sentences of an explanation: where they are, their scores, and that each is encoded once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.build.create import BuildOptions, build_index
from hybrid.corpus import Document, Passages
from hybrid.fusion.explain import APPROXIMATION
from hybrid.report.explanation import explanations_page
from hybrid.search.explain import NEAREST
from hybrid.search.index import Index, open_index
from hybrid.search.passages import sentence_spans
from tests.made_encoders import HashDense, HashSparse
from tests.read_page import Page
from tests.test_living import Memory

TEXTS = [
    "merge sorted lists. open a file! is a heap a queue? one more. merge sorted lists.",
    "a heap",
    "read a file. merge sorted lists. open a file!",
    "",
]
QUERY = "merge sorted files"


class Counting(HashDense):
    """Keeps what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: list[list[str]] = []
        self.queries: list[list[str]] = []

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Any:
        self.documents.append(list(texts))
        return super().encode_documents(texts, progress)

    def encode_queries(self, texts: Sequence[str]) -> Any:
        self.queries.append(list(texts))
        return HashDense.encode_documents(self, texts)


@pytest.fixture(params=[None, Passages(4, 1)], ids=["documents", "passages"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Index, Counting]:
    documents = [Document(f"d{n}", text, title="merge") for n, text in enumerate(TEXTS)]
    built = {"sparse": HashSparse(), "dense": HashDense()}
    build_index(
        Memory(documents), tmp_path / "index", BuildOptions(passages=request.param), encoders=built
    )
    dense = Counting()
    return open_index(tmp_path / "index", encoders={**built, "dense": dense}), dense


def test_the_nearest_sentences_are_those_of_greatest_inner_product(
    opened: tuple[Index, Counting],
) -> None:
    index, _ = opened
    query = HashDense().encode_queries([QUERY])[0]
    for one in index.explain(QUERY, ["d0", "d1", "d2", "d3"], sentences=True):
        text = TEXTS[int(one.doc_id[1])]
        sparse, dense = one.branches
        assert sparse.sentences == ()
        start, stop = 0, len(text)
        if index.contents.passages is not None:
            (best,) = index.best_passages(QUERY, [one.doc_id], ["dense"])[0]
            start, stop = best.start, best.stop
        spans = [(a + start, b + start) for a, b in sentence_spans(text[start:stop])]
        assert len(dense.sentences) == min(NEAREST, len(spans))
        scores = {span: float(HashDense().encode_documents([text[slice(*span)]])[0] @ query)
                  for span in spans}  # fmt: skip
        for each in dense.sentences:
            assert each.text == text[each.start : each.stop]
            assert each.score == pytest.approx(scores[each.start, each.stop], abs=1e-6)
        shown = [each.score for each in dense.sentences]
        assert np.allclose(shown, sorted(scores.values(), reverse=True)[:NEAREST], atol=1e-6)


def test_each_different_sentence_is_encoded_once_and_the_query_once(
    opened: tuple[Index, Counting],
) -> None:
    index, dense = opened
    found = index.explain(QUERY, ["d0", "d1", "d2", "d3", "d0"], sentences=True)
    (encoded,) = dense.documents
    assert len(encoded) == len(set(encoded)) > 2
    assert dense.queries == [[QUERY]]
    plain = index.explain(QUERY, ["d0"])
    assert len(dense.documents) == 1
    assert [each.sentences for each in plain[0].branches] == [(), ()]
    assert found[0].score == plain[0].score
    index.explain(QUERY, ["d3"], sentences=True)
    assert len(dense.documents) == 1  # a document without a text has none


def test_they_are_shown_as_an_approximation(opened: tuple[Index, Counting]) -> None:
    index, _ = opened
    (one,) = index.explain(QUERY, ["d0"], sentences=True)
    (head,) = [n for n, line in enumerate(one.lines()) if APPROXIMATION in line]
    shown = one.lines()[head + 1 : head + 1 + len(one.branches[1].sentences)]
    assert [line.split(maxsplit=1)[1] for line in shown] == [
        each.text for each in one.branches[1].sentences
    ]
    page = Page(explanations_page(QUERY, [one], [index.document("d0")]))
    _, *rows = page.tables[f"dense: {APPROXIMATION}"]
    assert [row[1] for row in rows] == [each.text for each in one.branches[1].sentences]


@given(st.text('ab .!?\n。"', max_size=40))
def test_sentences_are_in_order_and_leave_only_white_space_out(text: str) -> None:
    spans = sentence_spans(text)
    last = 0
    for start, stop in spans:
        assert text[last:start].strip() == ""
        assert text[start:stop] == text[start:stop].strip() != ""
        last = stop
    assert text[last:].strip() == ""


@given(st.text('ab .!?\t\n。！")]\u00a0', max_size=60))
def test_sentences_are_those_of_the_plain_rule(text: str) -> None:
    ends = r"[.!?]+[\"')\]]*(?=\s)|[\u3002\uff01\uff1f]+|(?=\s*\n\s*\n)|(?=\s*\Z)"
    plain = re.finditer(rf"\S.*?(?:{ends})", text, re.DOTALL)
    assert sentence_spans(text) == [found.span() for found in plain]


@pytest.mark.parametrize("run", [" ", "\n \t", ".", '?!"', "!)", "\u3002x", ". "])
def test_a_long_run_is_read_once(run: str) -> None:
    text = f"a{run * 100_000}b"
    assert sentence_spans(text)[-1][1] == len(text)
