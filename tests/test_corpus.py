"""Corpora in files: what is read, and the error that each kind of bad record gets."""

from __future__ import annotations

import doctest
import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from hybrid.corpus import Document, Query, Skipped, Source, SourceOptions, open_source
from hybrid.errors import CorpusError, UsageError

GOOD = {"_id": "d1", "title": "heapq", "text": "merge sorted inputs"}


def write_jsonl(path: Path, records: Iterable[object]) -> Path:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines, encoding="utf-8")
    return path


def beir_folder(folder: Path, *, suffix: str = "") -> Path:
    write_jsonl(
        folder / f"corpus.jsonl{suffix}",
        [GOOD, {"_id": "d2", "title": "", "text": "bisect right"}, {"_id": "d3", "text": "sort"}],
    )
    write_jsonl(
        folder / f"queries.jsonl{suffix}",
        [{"_id": "q1", "text": "join lists"}, {"_id": "q2", "text": "order"}],
    )
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td3\t1\n")
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_beir_folder_plain_and_packed(tmp_path: Path, suffix: str) -> None:
    source: Source = open_source(beir_folder(tmp_path, suffix=suffix))
    assert list(source.documents()) == [
        Document("d1", "merge sorted inputs", "heapq"),
        Document("d2", "bisect right"),
        Document("d3", "sort"),
    ]
    assert source.splits() == ("test", "train")
    assert list(source.queries()) == [Query("q1", "join lists"), Query("q2", "order")]
    assert list(source.queries("train")) == [Query("q2", "order")]
    assert source.qrels("test") == {"q1": {"d1": 2}}
    assert source.document_count() == (None if suffix else 3)
    assert source.name == str(tmp_path)
    assert source.skipped.total == 0


def test_full_text_joins_title_and_text() -> None:
    assert Document("d", "b", "a").full_text == "a b"
    assert Document("d", "b").full_text == "b"
    assert Document("d", "", "a").full_text == "a"


def test_a_source_can_be_read_again(tmp_path: Path) -> None:
    source = open_source(beir_folder(tmp_path))
    assert list(source.documents()) == list(source.documents())


# Each bad line, put third in an otherwise good file, and what the error must say.
BAD_LINES = {
    "broken json": (b'{"_id": "d9", "text": ', "broken line", "not JSON"),
    "not an object": (b'["d9", "text"]', "broken line", "not a JSON object"),
    "deep nesting": (b"[" * 100_000, "broken line", "not JSON"),
    "huge integer": (b'{"_id": ' + b"9" * 5000 + b"}", "broken line", "not JSON"),
    "bad utf-8": (b'{"_id": "d9", "text": "caf\xe9"}', "wrong encoding", "utf-8"),
    "half surrogate": (b'{"_id": "d9", "text": "a\\ud800"}', "wrong encoding", "surrogate"),
    "no id": (b'{"text": "a"}', "missing field", "'_id' or 'id'"),
    "null id": (b'{"_id": null, "text": "a"}', "missing field", "'_id'"),
    "no text": (b'{"_id": "d9", "title": "a"}', "missing field", "'text'"),
    "null text": (b'{"_id": "d9", "text": null}', "missing field", "'text'"),
    "id is a number": (b'{"_id": 9, "text": "a"}', "field that is no string", "'_id' is 9"),
    "text is a list": (b'{"_id": "d9", "text": ["a"]}', "field that is no string", "['a']"),
    "title is a number": (b'{"_id": "d9", "title": 1, "text": "a"}', "no string", "'title'"),
    "empty id": (b'{"_id": "", "text": "a"}', "unusable id", "empty"),
    "id with a space": (b'{"_id": "d 9", "text": "a"}', "unusable id", "white space"),
    "NUL in the text": (b'{"_id": "d9", "text": "a\\u0000b"}', "NUL byte", "'text'"),
    "NUL in the id": (b'{"_id": "d\\u00009", "text": "a"}', "NUL byte", "'_id'"),
    "empty document": (b'{"_id": "d9", "title": " ", "text": "\\n"}', "empty document", "'d9'"),
    "duplicate id": (b'{"_id": "d1", "text": "again"}', "duplicate id", "'d1'"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_line_names_file_line_and_reason(tmp_path: Path, case: str) -> None:
    line, reason, detail = BAD_LINES[case]
    path = tmp_path / "corpus.jsonl"
    good = [json.dumps(GOOD).encode(), b'{"_id": "d2", "text": "b"}']
    path.write_bytes(b"\n".join([*good, line, b'{"_id": "d4", "text": "c"}', b""]))
    with pytest.raises(CorpusError) as error:
        list(open_source(path).documents())
    message = str(error.value)
    assert message.startswith(f"{path}, line 3: ")
    assert reason in message
    assert detail in message
    assert "--skip-bad" in message

    source = open_source(path, options=SourceOptions(skip_bad=True))
    assert [document.doc_id for document in source.documents()] == ["d1", "d2", "d4"]
    assert source.skipped.total == 1
    ((found, count),) = source.skipped.counts.items()
    assert reason in found
    assert count == 1
    assert source.skipped.examples[found] == [f"{path}, line 3"]


def test_skipped_starts_anew_with_each_pass_and_keeps_three_examples(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "c.jsonl", [GOOD] * 6)
    source = open_source(path, options=SourceOptions(skip_bad=True))
    for _ in range(2):
        assert len(list(source.documents())) == 1
        assert source.skipped.counts == {"duplicate id": 5}
    assert source.skipped.examples["duplicate id"] == [f"{path}, line {n}" for n in (2, 3, 4)]
    assert source.skipped.to_dict()["duplicate id"]["count"] == 5
    assert "5 duplicate id" in str(source.skipped)
    assert str(Skipped()) == "nothing"


def test_a_skipped_record_does_not_take_the_id(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "c.jsonl", [{"_id": "d1", "text": ""}, GOOD])
    source = open_source(path, options=SourceOptions(skip_bad=True))
    assert [document.text for document in source.documents()] == ["merge sorted inputs"]


def test_blank_lines_windows_ends_and_byte_order_mark_are_no_errors(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"_id": "a", "text": "x"}\r\n\r\n  \n{"id": "b", "text": "y"}')
    assert list(open_source(path).documents()) == [Document("a", "x"), Document("b", "y")]


def test_line_separators_inside_a_text_do_not_split_it(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"_id": "a", "text": "x\u2028y\x85z"}\n', encoding="utf-8", newline="")
    assert list(open_source(path).documents()) == [Document("a", "x\u2028y\x85z")]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_empty_corpus(tmp_path: Path, skip_bad: bool) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(CorpusError, match="no documents"):
        list(open_source(path, options=SourceOptions(skip_bad=skip_bad)).documents())


def test_a_corpus_of_bad_records_only_says_what_was_left_out(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "c.jsonl", [{"_id": 1, "text": "a"}, {"_id": 2, "text": "b"}])
    with pytest.raises(CorpusError, match="left out: 2 field that is no string"):
        list(open_source(path, options=SourceOptions(skip_bad=True)).documents())


def test_documents_stream(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "c.jsonl", [GOOD, {"_id": "d2", "text": ""}])
    documents = open_source(path).documents()
    assert next(documents).doc_id == "d1"  # before the bad second line is looked at
    with pytest.raises(CorpusError, match="line 2"):
        next(documents)


def test_encoding(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes('{"_id": "a", "text": "café"}\n'.encode("latin-1"))
    options = SourceOptions(encoding="latin-1")
    assert next(open_source(path, options=options).documents()).text == "café"


def test_utf_8_sig_reads_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"_id": "a", "text": "x"}\n{"_id": "b", "text": "y"}', encoding="utf-8-sig")
    documents = open_source(path, options=SourceOptions(encoding="utf-8-sig")).documents()
    assert [document.doc_id for document in documents] == ["a", "b"]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "cp037", "utf-32-le", "no-such", "rot13", "hex", "nul\0"]
)
def test_unusable_encodings(encoding: str) -> None:
    with pytest.raises(UsageError, match="encoding"):
        SourceOptions(encoding=encoding)


@pytest.mark.parametrize("delimiter", ["", "||", '"', "\n", " "])
def test_unusable_delimiters(delimiter: str) -> None:
    with pytest.raises(UsageError, match="delimiter"):
        SourceOptions(delimiter=delimiter)


def test_broken_gzip(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(GOOD).encode() * 3)
    for name, data in {"short.jsonl.gz": packed[:-9], "text.jsonl.gz": b"not packed"}.items():
        (tmp_path / name).write_bytes(data)
        source = open_source(tmp_path / name, options=SourceOptions(skip_bad=True))
        with pytest.raises(CorpusError, match=f"{name}.*broken gzip"):
            list(source.documents())


def test_missing_and_unknown_sources(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        open_source(tmp_path / "none.jsonl")
    with pytest.raises(CorpusError, match="does not exist"):
        open_source("./folder")
    with pytest.raises(CorpusError, match=r"without corpus\.jsonl"):
        open_source(tmp_path)
    (tmp_path / "corpus.docx").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"unknown kind of file.*\.parquet"):
        open_source(tmp_path / "corpus.docx")


def test_queries_and_qrels_of_a_single_file(tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "c.jsonl", [GOOD])
    queries = write_jsonl(
        tmp_path / "q.jsonl", [{"qid": "q1", "query": "a"}, {"qid": "q2", "query": "b"}]
    )
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q2 0 d1 1\n")
    options = SourceOptions(queries=queries, qrels=qrels, split="dev")
    source = open_source(corpus, options=options)
    assert source.splits() == ("dev",)
    assert list(source.queries()) == [Query("q1", "a"), Query("q2", "b")]
    assert list(source.queries("dev")) == [Query("q2", "b")]
    assert source.qrels("dev") == {"q2": {"d1": 1}}
    with pytest.raises(CorpusError, match="no split 'test'; it has dev"):
        source.qrels("test")


def test_a_file_without_queries_or_qrels_says_so(tmp_path: Path) -> None:
    source = open_source(write_jsonl(tmp_path / "c.jsonl", [GOOD]))
    with pytest.raises(CorpusError, match="--queries"):
        list(source.queries())
    with pytest.raises(CorpusError, match="--qrels"):
        source.qrels("test")
    assert source.splits() == ()


def test_bad_queries(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path)
    queries = write_jsonl(
        folder / "queries.jsonl",
        [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": " "}, {"_id": "q1", "text": "b"}],
    )
    with pytest.raises(CorpusError, match=r"line 2: empty query"):
        list(open_source(folder).queries())
    source = open_source(folder, options=SourceOptions(skip_bad=True))
    assert list(source.queries()) == [Query("q1", "a")]
    assert source.skipped_queries.counts == {"empty query": 1, "duplicate id": 1}
    assert list(source.queries("train")) == []
    queries.unlink()
    with pytest.raises(CorpusError, match=r"no queries\.jsonl"):
        list(source.queries())


def test_a_judged_query_without_text_is_an_error(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path)
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\nq9\td1\t1\nq8\td1\t1\n")
    with pytest.raises(CorpusError, match="2 of 3 judged queries have no text, first 'q8'"):
        list(open_source(folder).queries("test"))
    source = open_source(folder, options=SourceOptions(skip_bad=True))
    assert [query.query_id for query in source.queries("test")] == ["q1"]


def test_the_documentation_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parent.parent / "docs" / "corpora.md"
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert result.attempted > 20
    assert result.failed == 0
