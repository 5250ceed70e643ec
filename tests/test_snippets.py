"""Snippets: the window of a text, its marks, and the words of encoders with their places."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hybrid.build.create import BuildOptions, build_index
from hybrid.corpus import Document, Passages
from hybrid.corpus.snippets import Match, Snippet, marks_of, snippet_of
from hybrid.encoders import Bm25Encoder, Bm25Parameters, load_sparse
from hybrid.encoders.analysis import Analyser
from hybrid.search.index import Index
from hybrid.search.snippets import branch_terms
from tests.made_encoders import HashDense, HashSparse
from tests.test_living import Memory

DECOMPOSED = "cafe\u0301"
FAMILY = "👩\u200d👩\u200d👧"


def found(text: str, weights: dict[str, float], branch: str = "bm25") -> list[Match]:
    """Return the places of words in a text."""
    return [
        Match(at, at + len(word), branch, word, weight, True)
        for word, weight in weights.items()
        for at in range(len(text))
        if text.startswith(word, at)
    ]


def brute_force(text: str, matches: list[Match], length: int) -> float:
    """Return the greatest sum of distinct terms within ``length`` characters at white space."""
    words = [(at, at + len(word)) for at, word in _split(text)]
    best = 0.0
    for start, _ in words:
        for _, end in words:
            if 0 < end - start <= length:
                inside = {
                    (m.branch, m.term): m.weight
                    for m in matches
                    if start <= m.start <= m.end <= end
                }
                best = max(best, sum(inside.values()))
    return best


def _split(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for word in text.split(" "):
        if word:
            yield at, word
        at += len(word) + 1


@given(
    st.lists(st.sampled_from(["one", "two", "three", "x", "yy", ""]), max_size=30),
    st.dictionaries(st.sampled_from(["one", "two", "three"]), st.sampled_from([0.25, 0.5, 1.0])),
    st.integers(5, 40),
)
def test_the_window_has_the_greatest_sum_and_no_part_of_a_word(
    words: list[str], weights: dict[str, float], length: int
) -> None:
    text = " ".join(words)
    matches = found(text, weights)
    snippet = snippet_of(text, matches, length=length)
    assert snippet.text == text[snippet.start : snippet.end]
    assert len(snippet.text) <= length
    assert text[: snippet.start][-1:].strip() == text[snippet.end :][:1].strip() == ""
    inside = {match.term: match.weight for match in matches if _in(match, snippet)}
    assert sum(inside.values()) == brute_force(text, matches, length)
    assert [snippet.text[mark.start : mark.end] for mark in snippet.marks] == [
        match.term for match in sorted(matches) if _in(match, snippet)
    ]


def _in(match: Match, snippet: Snippet) -> bool:
    return snippet.start <= match.start and match.end <= snippet.end


def test_the_first_of_equal_parts_and_distinct_terms_once() -> None:
    text = "a merge b " + "x " * 50 + "merge merge merge " + "x " * 50 + "merge sort"
    one = snippet_of(text, found(text, {"merge": 1.0}), length=20)
    assert one.start == 0
    both = snippet_of(text, found(text, {"merge": 1.0, "sort": 0.1}), length=20)
    assert both.text.endswith("merge sort")
    heavier = snippet_of(text, found(text, {"merge": 1.0}) + found(text, {"a": 0.2}), length=20)
    assert heavier.text.startswith("a merge")


def test_words_are_in_the_middle_where_they_can_be() -> None:
    text = "x " * 50 + "merge " + "x " * 50
    snippet = snippet_of(text, found(text, {"merge": 1.0}), length=25)
    (mark,) = snippet.marks
    assert abs(mark.start - (len(snippet.text) - mark.end)) <= 4
    end = "x " * 50 + "merge"
    assert snippet_of(end, found(end, {"merge": 1.0}), length=25).text == "x " * 10 + "merge"


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_text_has_an_empty_snippet(text: str) -> None:
    assert snippet_of(text, []) == Snippet("", 0, 0, ())


def test_without_a_match_it_is_the_beginning() -> None:
    text = "\n  one two three four"
    assert snippet_of(text, [], length=9) == Snippet("one two", 3, 10, ())
    assert snippet_of(text, []).text == "one two three four"


def test_of_a_passage_places_are_those_in_the_text() -> None:
    text = "merge one merge two"
    snippet = snippet_of(text, found(text, {"merge": 1.0}), within=(6, 19))
    assert (snippet.text, snippet.start, snippet.end) == ("one merge two", 6, 19)
    (mark,) = snippet.marks
    assert (mark.start, mark.end) == (4, 9)


def test_scripts_without_spaces_are_cut_between_characters() -> None:
    text = "全文検索" * 40
    snippet = snippet_of(text, found(text, {"検索": 1.0}), length=10)
    assert snippet.text == text[:10]
    thai = "ที่นี่" * 40
    ends = snippet_of(thai, [], length=9).end
    assert not unicodedata.category(thai[ends]).startswith("M")


def test_a_word_that_is_too_long_is_cut_but_no_character_with_its_marks() -> None:
    assert snippet_of("a" * 50, [], length=20).text == "a" * 20
    cut = snippet_of(DECOMPOSED * 9, [], length=9)
    assert cut.text == DECOMPOSED + "caf"
    assert snippet_of(f"{FAMILY} {FAMILY}", [], length=8).text == FAMILY


def test_words_of_branches_that_overlap_are_one_mark() -> None:
    (mark,) = marks_of(
        [
            Match(0, 11, "bm25", "heapq.merge", 0.5, True),
            Match(6, 11, "sparse", "merge", 1.0, False),
        ]
    )
    assert (mark.start, mark.end, mark.weight) == (0, 11, 1.0)
    assert (mark.term, mark.branch, mark.literal) == ("heapq.merge", "bm25", True)
    assert len(marks_of([Match(0, 2, "a", "x", 1, True), Match(2, 4, "a", "y", 1, True)])) == 2
    assert marks_of([]) == []


TEXTS = st.text(st.sampled_from("aeBİΣ'.3_ ﬁ½①é検ガｱｶﾞﾟㅎㅏﾡￂﾤ\u0301\u3099ᄒ가한\n😀x"), max_size=25)


@given(TEXTS, st.booleans(), st.booleans())
@example("İ.b", True, False)
@example("İ.b", False, False)
@example("ｶﾞｲﾄﾞ", False, True)
def test_placed_terms_are_the_terms(text: str, split_names: bool, bigrams: bool) -> None:
    analyser = Analyser("none", "english", split_names=split_names, bigrams=bigrams)
    placed = list(analyser.placed(text))
    assert [term for *_, terms in placed for term in terms] == analyser.terms(text)
    assert all(0 <= start < end <= len(text) for start, end, _ in placed)
    assert all(one[0] <= other[0] for one, other in pairwise(placed))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("use heapq.merge at 3.14", ["use", "heapq.merge", "3.14"]),
        ("o'neill's ﬁle", ["o'neill's", "ﬁle"]),
        (f"a {DECOMPOSED} {FAMILY} 検索", ["cafe\u0301", "検", "索"]),
        ("İstanbul Ｆｕｌｌ", ["İstanbul", "Ｆｕｌｌ"]),
    ],
)
def test_words_of_bm25_stay_whole(text: str, words: list[str]) -> None:
    placed = Analyser("none", "english").placed(text)
    assert [text[start:end] for start, end, _ in placed] == words


def test_bm25_weighs_a_count_by_its_idf() -> None:
    encoder = Bm25Encoder.fit(["merge list", "list of list", "list heap"])
    query = "merge list list list"
    terms = branch_terms("bm25", encoder, encoder.encode_queries([query]), query)
    idf = dict(zip(encoder.vocabulary, encoder.idf.tolist(), strict=True))
    assert terms.weights == {"merg": 1.0, "list": pytest.approx(3 * idf["list"] / idf["merg"])}
    assert [each.term for each in terms.matches("lists to merge")] == ["list", "merg"]
    nothing = branch_terms("bm25", encoder, encoder.encode_queries(["zebra"]), "zebra")
    assert nothing.weights == {}


def test_wordpieces_are_joined_to_words(tiny_sparse: Path) -> None:
    encoder = load_sparse(str(tiny_sparse), device="cpu")
    text = f"Merge  the_HEAP, {'x ' * 90}queue"
    placed = [(text[start:end], [*terms]) for start, end, terms in encoder.placed_terms(text)]
    assert placed[0] == ("Merge", ["merge"])
    assert ("HEAP", ["heap"]) in placed
    assert placed[-1] == ("queue", ["queue"])  # beyond what the model reads
    assert list(encoder.placed_terms("")) == []


LONG = "x y z " * 60 + "merge of sorted heaps " + "x y z " * 60
HELD = [
    Document("long", LONG, title="Long"),
    Document("short", "merge sort"),
    Document("none", "queue"),
    Document("title", "", title="merge"),
]


def built(path: Path, passages: Passages | None = None) -> Index:
    encoders = {"sparse": HashSparse(), "bm25": Bm25Parameters(), "dense": HashDense()}
    build_index(Memory(HELD), path, BuildOptions(passages=passages), encoders=encoders)
    return Index(path, encoders={"sparse": HashSparse(), "dense": HashDense()})


@pytest.mark.parametrize("fusion", ["bm25", "rrf", "dense"])
def test_a_hit_shows_the_words_of_its_query(tmp_path: Path, fusion: str) -> None:
    with built(tmp_path / "index") as index:
        hits = {hit.doc_id: hit for hit in index.search("merging heaps", fusion=fusion)}
    if fusion == "dense":  # its words are those of BM25
        assert set(hits) == {each.doc_id for each in HELD}
        assert hits["none"].snippet == Snippet("queue", 0, 5, ())
    snippet = hits["long"].snippet
    assert LONG[snippet.start : snippet.end] == snippet.text
    assert len(snippet.text) <= 200
    marked = [snippet.text[mark.start : mark.end] for mark in snippet.marks]
    assert set(marked) >= {"merge", "heaps"}
    if fusion != "rrf":
        assert set(marked) == {"merge", "heaps"}
        assert hits["title"].snippet == Snippet("", 0, 0, ())
    assert hits["long"].to_dict()["snippet"] == snippet.to_dict()
    assert hits["long"].to_dict()["passages"] == []


def test_a_snippet_is_of_the_best_passage(tmp_path: Path) -> None:
    with built(tmp_path / "index", Passages(50)) as index:
        hit = next(hit for hit in index.search("merge heaps") if hit.doc_id == "long")
        passages = hit.to_dict()["passages"]
        assert passages == [
            each.to_dict() for each in index.best_passages("merge heaps", ["long"])[0]
        ]
    first, snippet = passages[0], hit.snippet
    assert first["start"] <= snippet.start < snippet.end <= first["stop"]
