"""BM25: the formula by hand, the analyser, streaming, and the saved state."""

from __future__ import annotations

import json
import sys
from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybrid
from hybrid.encoders.analysis import LANGUAGES, STOP_WORDS, Analyser, of_language
from hybrid.encoders.bm25 import Bm25Encoder, Bm25Parameters, Statistics, count_terms
from hybrid.errors import ModelError, UsageError

TEXTS = ["merge sorted lists", "sort lists, lists and lists", "heaps", ""]


def weight(encoder: Bm25Encoder, text: str, term: str) -> float:
    row = encoder.encode_documents([text]).toarray()[0]
    return float(row[encoder.vocabulary.index(term)])


def test_impact_is_the_formula() -> None:
    encoder = Bm25Encoder.fit(TEXTS, Bm25Parameters(k1=1.2, b=0.75))
    # terms: merg sort list | sort list list list | heap | (nothing): N = 4, 8 terms, avgdl = 2
    idf = log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    expected = idf * 3 / (3 + 1.2 * (1 - 0.75 + 0.75 * 4 / 2))
    assert weight(encoder, TEXTS[1], "list") == pytest.approx(expected, rel=1e-6)
    assert encoder.vocabulary == ("heap", "list", "merg", "sort")


def test_scores_equal_the_sum_over_query_terms() -> None:
    parameters = Bm25Parameters(stemmer="none", stop_words="none")
    encoder = Bm25Encoder.fit(TEXTS, parameters)
    documents = encoder.encode_documents(TEXTS)
    query = "lists lists and merge"
    scores = (encoder.encode_queries([query]) @ documents.T).toarray()[0]
    analyser = Analyser("none", "none")
    bags = [Counter(analyser.terms(text)) for text in TEXTS]
    mean = sum(map(Counter.total, bags)) / len(bags)
    for score, bag in zip(scores, bags, strict=True):
        expected = 0.0
        for term in analyser.terms(query):
            df = sum(term in other for other in bags)
            norm = 0.9 * (1 - 0.4 + 0.4 * bag.total() / mean)
            expected += (
                log(1 + (len(bags) - df + 0.5) / (df + 0.5)) * bag[term] / (bag[term] + norm)
            )
        assert score == pytest.approx(expected, rel=1e-5)


def test_a_term_in_every_document_still_counts() -> None:
    encoder = Bm25Encoder.fit(["heap", "heap", "heap"])
    assert weight(encoder, "heap", "heap") == pytest.approx(log(1 + 0.5 / 3.5) / 1.9, rel=1e-6)


def test_unknown_terms_lengthen_a_document_and_leave_a_query() -> None:
    encoder = Bm25Encoder.fit(TEXTS)
    assert encoder.encode_queries(["unknown words", ""]).nnz == 0
    assert weight(encoder, "heap unknown words", "heap") < weight(encoder, "heap", "heap")


def test_one_document_and_none() -> None:
    one = Bm25Encoder.fit(["heap"])
    assert one.encode_documents(["heap"]).shape == (1, 1)
    none = Bm25Encoder.fit([])
    assert none.encode_documents(["heap"]).shape == (1, 0)
    assert none.encode_queries([]).shape == (0, 0)


def test_rows_are_sorted_without_zeros_and_float32() -> None:
    matrix = Bm25Encoder.fit(TEXTS).encode_documents(TEXTS)
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert matrix.data.min() > 0


@given(st.lists(st.text(st.sampled_from("abc d"), max_size=12), max_size=12), st.integers(1, 5))
def test_counting_in_shards_is_counting_at_once(texts: list[str], size: int) -> None:
    analyser = Analyser("none", "none")
    whole, pieces = Statistics(), Statistics()
    whole.add(count_terms(texts, analyser))
    for start in range(0, len(texts), size):
        pieces.add(count_terms(texts[start : start + size], analyser))
    assert pieces == whole
    assert whole.length == sum(len(text.split()) for text in texts)


def test_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    encoder = Bm25Encoder.fit([*TEXTS, "naïve 中文"], Bm25Parameters(k1=0.7, b=0.3))
    encoder.save(tmp_path)
    loaded = Bm25Encoder.load(tmp_path)
    assert loaded.fingerprint == encoder.fingerprint
    assert (loaded.encode_documents(TEXTS) != encoder.encode_documents(TEXTS)).nnz == 0


@pytest.mark.parametrize("damage", ["missing", "broken", "version", "short"])
def test_a_damaged_state_is_an_error_that_says_what_to_do(tmp_path: Path, damage: str) -> None:
    Bm25Encoder.fit(TEXTS).save(tmp_path)
    path = tmp_path / "bm25.json"
    state = json.loads(path.read_text())
    if damage == "missing":
        path.unlink()
    elif damage == "broken":
        path.write_text("{")
    elif damage == "version":
        path.write_text(json.dumps({**state, "version": 99}))
    else:
        path.write_text(json.dumps({**state, "vocabulary": state["vocabulary"][1:]}))
    with pytest.raises(ModelError, match="Build the index again"):
        Bm25Encoder.load(tmp_path)


def test_the_fingerprint_tells_collections_and_parameters_apart() -> None:
    prints = [
        Bm25Encoder.fit(TEXTS).fingerprint,
        Bm25Encoder.fit([*TEXTS, "heaps"]).fingerprint,
        Bm25Encoder.fit(TEXTS, Bm25Parameters(k1=1.2)).fingerprint,
    ]
    assert len({json.dumps(fingerprint, sort_keys=True) for fingerprint in prints}) == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"k1": -1}, "k1"),
        ({"k1": float("nan")}, "k1"),
        ({"b": 1.5}, "b is"),
        ({"stemmer": "klingon"}, "klingon"),
        ({"stop_words": "few"}, "stop_words"),
    ],
)
def test_bad_parameters_are_named(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Bm25Encoder.fit(TEXTS, Bm25Parameters(**arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Merging of LISTS", ["merg", "list"]),
        ("x-ray cat's cats’ o'neill", ["x", "rai", "cat", "cat", "o'neil"]),
        ("3.14 1,000 u.s.a e.g. end.", ["3.14", "1,000", "u.s.a", "e.g", "end"]),
        ("__init__ a_b _ __", ["__init__", "a_b"]),
        ("ﬁne ＡＢＣ", ["fine", "abc"]),
        ("cafe\u0301", ["café"]),
        ("中文 ひら", ["中", "文", "ひ", "ら"]),
        ("नमस्ते", ["नमस्ते"]),
        ("...", []),
        ("", []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert Analyser().terms(text) == terms


def test_other_languages_stem_and_33_words_stop() -> None:
    assert Analyser("german", "none").terms("laufen der Katzen") == ["lauf", "der", "katz"]
    assert len(STOP_WORDS) == 33


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("東京都", ["東京", "京都"]),
        ("カタカナ・ひらがな", ["カタ", "タカ", "カナ", "ひら", "らが", "がな"]),
        ("한국어 검색", ["한국", "국어", "검색"]),
        ("水", ["水"]),
        ("the Python 检索 of 3.14", ["python", "检索", "3.14"]),
        ("abc検索def", ["abc", "検索", "def"]),
        ("ｶﾀｶﾅ", ["カタ", "タカ", "カナ"]),
        ("ｶﾞｲﾄﾞ", ["ガイ", "イド"]),
        ("ﾊﾟﾝ", ["パン"]),
        ("\uffbe\uffc2", ["\ud558"]),
        ("\u314e\u314f", ["\ud558"]),
        ("", []),
    ],
)
def test_characters_without_spaces_are_words_by_pairs(text: str, terms: list[str]) -> None:
    for code in ("cjk", "zh", "ja", "ko"):
        analyser = Analyser(**of_language(code))
        assert analyser.terms(text) == terms
        assert [term for *_, found in analyser.placed(text) for term in found] == terms


def test_pairs_have_their_places_in_the_text() -> None:
    placed = Analyser(**of_language("ja")).placed("x 東京都")
    assert list(placed) == [(0, 1, ["x"]), (2, 4, ["東京"]), (3, 5, ["京都"])]


def test_pairs_are_recorded_so_that_queries_are_cut_alike(tmp_path: Path) -> None:
    texts = ["東京都の検索", "京の都"]
    encoder = Bm25Encoder.fit(texts, Bm25Parameters(**of_language("ja")))
    scores = encoder.encode_documents(texts) @ encoder.encode_queries(["京都"]).T
    assert (scores.toarray().ravel() > 0).tolist() == [True, False]
    encoder.save(tmp_path)
    loaded = Bm25Encoder.load(tmp_path)
    assert loaded.parameters.bigrams
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode_queries(["京都"]).nnz == 1


def test_the_stop_words_of_a_language_are_recorded_word_by_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in LANGUAGES:
        assert len(of_language(code)["stop_words"].split()) > 30
    parameters = Bm25Parameters(**of_language("de"))
    encoder = Bm25Encoder.fit(["die Katzen und der Hund", "ein Hund"], parameters)
    assert encoder.vocabulary == ("hund", "katz")
    encoder.save(tmp_path)
    monkeypatch.setitem(sys.modules, "stop_words", None)  # another version, or gone
    loaded = Bm25Encoder.load(tmp_path)
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode_queries(["und die Katze"]).sum() == 1


def test_progress_counts_documents() -> None:
    seen: list[int] = []
    Bm25Encoder.fit(TEXTS).encode_documents(TEXTS, seen.append)
    assert sum(seen) == len(TEXTS)


def test_names_of_code_are_split_where_that_is_asked_for() -> None:
    split = Analyser("none", "none", split_names=True)
    assert split.terms("os.path.join") == ["os.path.join", "os", "path", "join"]
    assert split.terms("parse_HTMLPage") == ["parse_htmlpage", "parse", "html", "page"]
    assert split.terms("3.14 o'neill Merge e.g.") == ["3.14", "o'neill", "merge", "e.g", "e", "g"]
    assert split.terms("__init__") == ["__init__"]
    assert Analyser("none", "none").terms("os.path.join") == ["os.path.join"]


def test_split_names_are_recorded_so_that_queries_are_split_alike(tmp_path: Path) -> None:
    encoder = Bm25Encoder.fit(["os.path.join a path"], Bm25Parameters(split_names=True))
    assert encoder.encode_queries(["join"]).nnz == 1
    encoder.save(tmp_path)
    loaded = Bm25Encoder.load(tmp_path)
    assert loaded.parameters.split_names
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode_queries(["join"]).nnz == 1


def test_the_default_records_no_new_parameter(tmp_path: Path) -> None:
    encoder = Bm25Encoder.fit(TEXTS)
    encoder.save(tmp_path)
    assert "split_names" not in encoder.fingerprint
    state = json.loads((tmp_path / "bm25.json").read_text())
    assert set(state["parameters"]) == {"k1", "b", "stemmer", "stop_words"}


def test_an_index_of_another_language_stems_queries_alike(tmp_path: Path) -> None:
    options = hybrid.BuildOptions(None, None, language="de", k1=1.2, b=0.75, split_names=True)
    documents = [{"id": "a", "text": "Die Katzen laufen"}, {"id": "b", "text": "ein Haus"}]
    hybrid.build_index(documents, tmp_path / "index", options)
    with hybrid.open(tmp_path / "index") as index:
        assert [hit.doc_id for hit in index.search("Katze lauft", k=1)] == ["a"]
        known = index.view().contents.record("bm25").fingerprint
        assert (known["stemmer"], known["k1"], known["b"]) == ("german", 1.2, 0.75)
        index.delete(["b"])
        index.compact()
        assert index.view().contents.record("bm25").fingerprint["split_names"] is True
    hybrid.rebuild_branches(tmp_path / "index", ["bm25"])
    with hybrid.open(tmp_path / "index") as index:
        assert index.view().contents.record("bm25").fingerprint["stemmer"] == "german"
