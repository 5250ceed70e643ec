"""The page of explanations: its figures, and that it shows texts as texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid.build.create import build_index
from hybrid.corpus import Document
from hybrid.report.explanation import explanations_page
from hybrid.report.page import page
from hybrid.search.index import Index, open_index
from tests.made_encoders import HashDense, HashSparse
from tests.read_page import Page, check_self_contained
from tests.test_cli import Command, hybrid_command
from tests.test_living import Memory

__all__ = ["hybrid_command"]

ATTACK = "</p></style><script>alert(1)</script> <img src=x onerror=alert(2)> & merge"
QUERY = "merge lists <b onclick='a()'>"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    texts = ["merge sorted lists", ATTACK, "open a file", "lists of sockets", "merge"]
    documents = [Document(f"d{n}", text, title="<i>") for n, text in enumerate(texts)]
    documents.append(Document("<script>", "merge lists of files", title=ATTACK))
    encoders = {"sparse": HashSparse(), "dense": HashDense()}
    build_index(Memory(documents), tmp_path / "index", encoders=encoders)
    with open_index(tmp_path / "index", encoders=encoders) as opened:
        yield opened


def test_the_page_holds_the_parts_of_the_score(index: Index) -> None:
    found = index.explain(QUERY, fusion="cc(alpha=0.3)")
    for one in found:
        html = explanations_page(QUERY, [one], [index.document(one.doc_id)])
        read = Page(html)
        head, *rows = read.tables["Share of each branch in the score"]
        assert [row[0] for row in rows] == ["sparse", "dense", "score"]
        shares = [float(row[head.index("share")]) for row in rows]
        assert sum(shares[:-1]) == pytest.approx(shares[-1], abs=2e-6)
        assert shares[-1] == pytest.approx(one.score, abs=1e-6)
        for row in rows[:-1]:
            weight, part = (float(row[head.index(name)]) for name in ("weight", "part"))
            assert weight * part == pytest.approx(float(row[head.index("share")]), abs=2e-6)
        sparse = one.branches[0]
        _, *terms = read.tables.get("Terms of sparse", [[]])
        assert [(row[0], row[-1]) for row in terms] == [(t.term, t.kind) for t in sparse.terms]
        for row, term in zip(terms, sparse.terms, strict=True):
            assert float(row[3]) == pytest.approx(term.contribution, abs=1e-4)
        _, *under = read.tables["What would change its rank"]
        assert dict(under[2:]) == {
            name: f"rank {rank}" if rank else "no candidate" for name, rank in one.others
        }
        assert under[0][0] == f"a weight of sparse {sparse.stretches}"


def test_texts_stay_texts(index: Index) -> None:
    found = index.explain(QUERY)
    assert {"d1", "<script>"} <= {each.doc_id for each in found}
    html = explanations_page(QUERY, found, [index.document(each.doc_id) for each in found])
    read = Page(html)
    check_self_contained(read)
    assert not {"script", "img", "b", "i"} & set(read.tags)
    assert ATTACK in read.texts["p"]
    assert f"<script>: {ATTACK}" in read.texts["h2"]
    assert read.texts["title"] == [f"Why these documents: {QUERY}"]
    assert read.tags["section"] == len(found)


def test_words_of_the_text_are_marked_by_the_terms_that_they_bring(index: Index) -> None:
    (one,) = index.explain("merge lists", ["d3"], fusion="sparse")
    text = index.document("d3").text
    (share,) = [each for each in one.branches if each.branch == "sparse"]
    places = {word: [text.index(word), text.index(word) + len(word)] for word in text.split()}
    for term in share.terms:
        words = [w for w in places if term.term in HashSparse().literal_terms(w)]
        assert [list(place) for place in term.places] == [places[word] for word in words]
        assert bool(words) == (term.kind in ("literal", "query-expanded"))
    page = Page(explanations_page("merge lists", [one], [index.document("d3")]))
    marked = {text[a:b] for term in share.terms for a, b in term.places}
    assert page.texts["mark"] == [word for word in text.split() if word in marked]
    assert "lists" in marked
    assert page.texts["p"][-1] == text
    (attacked,) = index.explain("<img src=x merge", ["d1"], fusion="sparse")
    page = Page(explanations_page("x", [attacked], [index.document("d1")]))
    assert ATTACK in page.texts["p"]
    assert {"<img", "src=x", "merge"} <= set(page.texts["mark"])
    assert "img" not in page.tags


def test_places_are_those_of_the_snippet(tiny_index: Path) -> None:
    with open_index(tiny_index) as index:
        for hit in index.search("parse json files", 5):
            (one,) = index.explain("parse json files", [hit.doc_id])
            shown = {(m.start, m.end) for m in hit.snippet.marks if m.branch == "bm25"}
            (bm25,) = [each for each in one.branches if each.branch == "bm25"]
            literal = {place for term in bm25.terms for place in term.places}
            assert {(a + hit.snippet.start, b + hit.snippet.start) for a, b in shown} <= literal
            assert all(hit.text[a:b].strip() == hit.text[a:b] != "" for a, b in literal)


def test_a_document_that_was_not_returned_says_why(index: Index) -> None:
    (one,) = index.explain("merge", ["d2"], 1, fusion="sparse")
    read = Page(explanations_page("merge", [one], [index.document("d2")]))
    assert str(one.missed) in read.texts["p"]
    assert f"no candidate among {one.candidates}" in "".join(read.texts["p"])


def test_the_stages_of_a_document_that_was_scored_again_are_shown(index: Index) -> None:
    found = index.explain(
        "merge lists",
        ["d0", "d4"],
        fusion="sparse",
        rerank=lambda query, texts: [float(len(text)) for text in texts],
        rerank_depth=2,
    )
    documents = [index.document(each.doc_id) for each in found]
    again = [each for each in found if each.first is not None]
    assert again
    page = Page(explanations_page("merge lists", found, documents))
    assert page.texts["h3"] == ["Before it was scored again"] * len(again)
    for each in again:
        assert each.first is not None
        assert f"{each.fusion}: {each.result}" in page.texts["p"]
        assert f"{each.first.fusion}: {each.first.result}" in page.texts["p"]


def test_a_page_runs_its_own_script_alone() -> None:
    html = page("a", ["<p>b</p>"], script="let x = 1")
    assert "default-src 'none'" in html
    assert "script-src 'sha256-" in html
    assert Page(html).texts["script"] == ["let x = 1"]
    assert "script" not in Page(page("a", [])).tags


def test_the_command_explains_several_documents_and_writes_the_page(
    hybrid_command: Command, tiny_index: Path, tmp_path: Path
) -> None:
    target = tmp_path / "why.html"
    command = ("explain", tiny_index, "parse json")
    status, out, err = hybrid_command(*command, "json.load", "re.match", "--html", target, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["query"] == "parse json"
    assert [each["doc_id"] for each in found["explanations"]] == ["json.load", "re.match"]
    assert Page(target.read_text()).texts["h2"] == ["json.load: load", "re.match: match"]
    _, out, _ = hybrid_command("search", tiny_index, "parse json", "-k", "3", "--json")
    ranked = [hit["doc_id"] for hit in json.loads(out)["hits"]]
    _, out, _ = hybrid_command(*command, "-k", "3", "--json")
    assert [each["doc_id"] for each in json.loads(out)["explanations"]] == ranked
    _, out, _ = hybrid_command(*command, "-k", "2")
    assert [line.split(" by ")[0] for line in out.split("\n\n")] == ranked[:2]


def test_a_page_that_exists_is_refused_before_a_model_is_loaded(
    hybrid_command: Command, tiny_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "why.html"
    target.write_text("mine")
    monkeypatch.setattr("hybrid.search.index.open_index", None)
    status, _, err = hybrid_command("explain", tiny_index, "json", "--html", target)
    assert status == 1
    assert "exists" in err
    assert target.read_text() == "mine"
    status, _, err = hybrid_command("explain", tiny_index, "json", "--html", tmp_path / "a" / "b")
    assert status == 1
    assert "Traceback" not in err
