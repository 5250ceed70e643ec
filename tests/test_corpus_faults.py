"""Kinds of faults that users met, each mended everywhere: what the right value or message is."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid.corpus import Document, SourceOptions, open_source
from hybrid.corpus.judged import checked_qrels
from hybrid.corpus.qrels import read_qrels
from hybrid.errors import CorpusError, HybridError, UsageError
from hybrid.evaluate import evaluate
from hybrid.fusion.run import Run
from hybrid.index.documents.filters import parse_filter
from hybrid.search.index import Index
from hybrid.training import read_examples
from tests.conftest import write_beir
from tests.test_cli import Command, hybrid_command
from tests.test_corpus_tables import read
from tests.test_living import build

__all__ = ["hybrid_command"]

HALF = "half \ud800"
TEXT_VERBS: dict[str, Callable[[Index], Any]] = {
    "search": lambda index: index.search(HALF),
    "search several": lambda index: index.search(["good", HALF]),
    "search by id": lambda index: index.search({HALF: "good"}),
    "pool": lambda index: index.pool({"q": HALF}),
    "pool of texts": lambda index: index.pool(["good", HALF]),
    "explain": lambda index: index.explain(HALF, ["a"]),
    "explain a document": lambda index: index.explain("good", [HALF]),
    "best passages": lambda index: index.best_passages(HALF, ["a"]),
    "document": lambda index: index.document(HALF),
    "delete": lambda index: index.delete([HALF], ignore_missing=True),
    "add": lambda index: index.add([Document("x", HALF)]),
    "update a title": lambda index: index.update([Document("x", "good", HALF)]),
    "add a field": lambda index: index.add([Document("x", "y", fields={"f": HALF})]),
    "add a field's name": lambda index: index.add([Document("x", "y", fields={HALF: 1})]),
    "filter": lambda index: index.search("good", filter=f'n == "{HALF}"'),
    "filter by escape": lambda index: index.search("good", filter='n == "\\ud800"'),
    "domain": lambda index: index.search("good", domain=HALF),
    "store domain": lambda index: index.store_domain(HALF, "dense"),
    "run": lambda index: Run.from_dict({"q": {HALF: 1.0}}),
    "qrels": lambda index: evaluate(Run.from_dict({"q": {"a": 1.0}}), {"q": {HALF: 1}}),
    "NUL in a query": lambda index: index.search("a\0b"),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    documents = [Document("a", "merge lists", fields={"n": "x"}), Document("b", "sort lists")]
    return build(tmp_path_factory.mktemp("faults") / "idx", documents)


@pytest.mark.parametrize("verb", TEXT_VERBS)
def test_one_door_for_all_text(index: Index, verb: str) -> None:
    said = "holds a NUL byte at 1" if verb.startswith("NUL") else r"'\\ud800' at \d+, .*not Unicode"
    with pytest.raises(HybridError, match=said) as caught:
        TEXT_VERBS[verb](index)
    str(caught.value).encode()
    assert len(index) == 2


def test_one_door_for_text_of_files_and_examples(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "beir")
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q9", "text": "\\ud800"}\n')
    with pytest.raises(CorpusError, match=r"queries\.jsonl, line 7: wrong encoding: 'text' holds"):
        list(open_source(folder).queries())
    (tmp_path / "pairs.jsonl").write_text('{"query": "a", "positive": "\\ud800"}\n')
    with pytest.raises(CorpusError, match=r"pairs\.jsonl, line 1: a text of a .* not Unicode"):
        read_examples(tmp_path / "pairs.jsonl")
    (tmp_path / "pairs.jsonl").write_text(
        '{"query": "a", "positive": "b", "negatives": ["c"], "scores": [1, 1e40]}\n'
    )
    with pytest.raises(CorpusError, match=r"line 1: .* has the score 1e\+40"):
        read_examples(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("verb", ["search", "explain", "delete", "tune"])
def test_one_door_for_text_of_the_command_line(
    tmp_path: Path, hybrid_command: Command, tiny_index: Path, verb: str
) -> None:
    arguments: dict[str, list[object]] = {
        "search": ["\udcff"],
        "explain": ["\udcff", "json.dump"],
        "delete": ["\udcff"],
        "tune": [write_beir(tmp_path / "beir"), "--domain", "\udcff"],
    }
    status, _, err = hybrid_command(verb, tiny_index, *arguments[verb])
    assert status == 1
    assert "not Unicode" in err
    assert "Traceback" not in err


def jsonl(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


BM25 = ("--sparse", "none", "--dense", "none")


def test_a_declared_type_wins_over_the_values(tmp_path: Path, hybrid_command: Command) -> None:
    corpus = jsonl(
        tmp_path / "c.jsonl", {"id": "a", "text": "x"}, {"id": "b", "text": "y", "n": ""}
    )
    index = tmp_path / "idx"
    assert hybrid_command("build", corpus, "-o", index, *BM25, "--fields", "n:int")[0] == 0
    with Index(index) as opened:
        assert opened.contents.documents.field_kinds == {"n": "int"}
        assert {hit.doc_id for hit in opened.search("x y", filter="n is null")} == {"a", "b"}
    late = jsonl(tmp_path / "late.jsonl", {"id": "c", "text": "x", "n": 3})
    assert hybrid_command("add", index, late)[0] == 0
    _, out, _ = hybrid_command("search", index, "x", "--filter", "n == 3", "--json")
    assert [hit["doc_id"] for hit in json.loads(out)["hits"]] == ["c"]
    hybrid_command("delete", index, "c")
    hybrid_command("compact", index)
    with Index(index) as opened:
        assert opened.contents.documents.field_kinds == {"n": "int"}


def test_a_field_without_type_or_value_is_named(tmp_path: Path, hybrid_command: Command) -> None:
    corpus = jsonl(tmp_path / "c.jsonl", {"id": "a", "text": "x", "n": None})
    _, out, _ = hybrid_command("build", corpus, "-o", tmp_path / "idx", *BM25, "--fields", "n")
    assert "field 'n' holds no value and has no type, so it is not stored" in out


def test_add_says_which_fields_are_missing_new_or_of_another_type(
    tmp_path: Path, hybrid_command: Command
) -> None:
    corpus = jsonl(tmp_path / "c.jsonl", {"id": "a", "text": "x", "n": 1})
    index = tmp_path / "idx"
    hybrid_command("build", corpus, "-o", index, *BM25, "--fields", "n")
    said = {
        '{"id": "b", "text": "x"}': "no new document has a value in field 'n' of the index",
        '{"id": "c", "text": "x", "n": 1.5}': "field 'n' is int in the index and float in the new",
    }
    for line, note in said.items():
        (tmp_path / "new.jsonl").write_text(line + "\n")
        status, _, err = hybrid_command("add", index, tmp_path / "new.jsonl")
        assert status == 0
        assert note in err
    with Index(index) as opened:
        report = opened.add([Document("d", "x", fields={"lang": "en"})])
        assert report.notes == (
            "no new document has a value in field 'n' of the index: it is null there",
            "field 'lang' is new: no document of before has a value in it",
        )
    status, _, err = hybrid_command("add", index, tmp_path / "new.jsonl", "--fields", "n:str")
    assert status == 1
    assert "'n' is to be read as str and is float in the index" in err


BAD_VALUES: dict[str, tuple[Any, str]] = {
    "beyond 64 bits": (2**63, "9223372036854775808, expected a whole number of at most 64 bits"),
    "negative beyond 64 bits": (-(2**63) - 1, "expected a whole number of at most 64 bits"),
    "text in a field of numbers": ("x", "'x', expected a whole number as in the documents before"),
    "boolean in a field of numbers": (True, "True, expected a whole number as in the documents"),
    "infinite": (float("inf"), "inf, expected a finite number"),
    "object": ({"a": 1}, "expected a text, a number, true, false, a date, a list of them, or null"),
    "list in a field of numbers": ([1, 2], "expected a whole number as in the documents before"),
    "list of lists": ([[1]], "expected a list without lists in it"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_every_writer_refuses_the_same_values(
    tmp_path: Path, hybrid_command: Command, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hybrid.build.encode as encode

    value, said = BAD_VALUES[case]
    rows = [{"id": "a", "text": "x", "n": 1}, {"id": "b", "text": "y", "n": value}]
    corpus = jsonl(tmp_path / "c.jsonl", *rows)
    index = tmp_path / "idx"
    command = ("build", corpus, "-o", index, *BM25, "--fields", "n")
    with monkeypatch.context() as patch:
        patch.setattr(encode, "encode_corpus", None)  # what is refused is refused before encoding
        status, _, err = hybrid_command(*command)
    assert status == 1
    assert f"{corpus.name}, line 2: unusable field: 'n' of 'b' is" in err.replace("\n", " ")
    assert said in err.replace("\n", " ")
    status, _, err = hybrid_command(*command, "--skip-bad")
    assert status == 0
    assert "skipped 1 unusable field" in err
    jsonl(corpus, {"id": "c", "text": "y", "n": value})
    status, _, err = hybrid_command("add", index, corpus)
    assert status == 1
    assert "line 1: unusable field: 'n' of 'c' is" in err.replace("\n", " ")
    with Index(index) as opened:
        for change in (opened.add, opened.update):
            with pytest.raises(UsageError, match="place 0: unusable field: 'n' of 'd' is"):
                change([Document("d", "x", fields={"n": value})])
        assert len(opened) == 1


def test_nan_is_no_value_for_any_writer_or_filter(tmp_path: Path, hybrid_command: Command) -> None:
    nan = float("nan")
    corpus = jsonl(
        tmp_path / "c.jsonl",
        {"id": "a", "text": "x", "n": nan},
        {"id": "b", "text": "x", "n": 1.5},
        {"id": "c", "text": "x", "n": None},
    )
    (tmp_path / "c.csv").write_text("id,text,n\na,x,NaN\nb,x,1.5\nc,x,\n")
    table = pa.table({"id": ["a", "b", "c"], "text": ["x"] * 3, "n": [nan, 1.5, None]})
    pq.write_table(table, tmp_path / "c.parquet")
    handed = [Document(d, "x", fields={"n": n}) for d, n in (("a", nan), ("b", 1.5), ("c", None))]
    indexes = [build(tmp_path / "handed", handed)]
    for name in (corpus.name, "c.csv", "c.parquet"):
        index = tmp_path / f"{name}.idx"
        built = ("build", tmp_path / name, "-o", index, *BM25, "--fields", "n")
        assert hybrid_command(*built)[0] == 0
        indexes.append(Index(index))
    for opened in indexes:
        for text, expected in (
            ("n is null", "ca"),
            ("not n is null", "b"),
            ("n != 1", "b"),
            ("not n == 1", "b"),
            ("not n == 1.5", ""),
            ("n < 9 or n >= 9", "b"),
            ("n in [1.5]", "b"),
        ):
            selected = opened.contents.select(text).doc_nums
            assert "".join(opened.contents.doc_ids[n] for n in selected) == expected, text


def test_whole_numbers_of_64_bits_are_compared_exactly(tmp_path: Path) -> None:
    most = 2**63 - 1
    values = {"a": most, "b": -(2**63), "c": 2**53 + 1, "d": 2}
    handed = [Document(doc_id, "x", fields={"n": n}) for doc_id, n in values.items()]
    contents = build(tmp_path / "idx", handed).contents
    for text, holds in (
        (f"n == {most}", lambda n: n == most),
        (f"n > {2**53}", lambda n: n > 2**53),
        ("n < 2.5", lambda n: n < 2.5),
        ("n >= 1.5", lambda n: n >= 1.5),
        ("n == 2.0", lambda n: n == 2),
        ("n != 2.5", lambda n: True),
        ("n == 2.5", lambda n: False),
        ("n < 1e30", lambda n: True),
        ("n > 1e30", lambda n: False),
        ("n > -1e30", lambda n: True),
        ("n <= -1e30", lambda n: False),
        ("n != 1e30", lambda n: True),
        ("n == 1e30", lambda n: False),
    ):
        found = {contents.doc_ids[number] for number in contents.select(text).doc_nums}
        assert found == {d for d, n in values.items() if holds(n)}, text  # type: ignore[no-untyped-call]
    widened = [Document("e", "x", fields={"n": 2**53 + 1}), Document("f", "x", fields={"n": 0.5})]
    contents = build(tmp_path / "float", widened).contents
    assert contents.documents.document("e").fields == {"n": float(2**53)}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"_id": "1", "title": "t", "text": None}, "'text' of '1' is null, expected a text"),
        ({"_id": None, "text": "x"}, "'_id' is null, expected a text"),
        ({"_id": "1", "body": 3}, "'body' of '1' is 3, expected a string"),
    ],
)
def test_a_null_is_called_a_null(tmp_path: Path, record: dict[str, Any], said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        list(open_source(jsonl(tmp_path / "c.jsonl", record)).documents())


@pytest.mark.parametrize(
    ("grade", "expected"),
    [(np.int64(2), 2), (1.0, 1), (np.float32(3), 3), (True, 1), (np.bool_(False), 0), (-1, -1)],
)
def test_whole_numbers_of_any_type_are_grades(grade: Any, expected: int) -> None:
    assert checked_qrels({"q": {"d": grade}}) == {"q": {"d": expected}}
    run = Run.from_dict({"q": {"d": 1.0}})
    assert evaluate(run, {"q": {"d": grade}})["nDCG@10"] == float(expected > 0)


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        ({"q": {"d"}}, r"judgments of query 'q', \{'d'\} \(set\) was given; give \{doc_id: grade"),
        ({"q": ["d"]}, "judgments of query 'q'"),
        (
            {"q": {"d": 1.5}},
            r"the grade of document 'd' for query 'q' is 1.5 \(float\); give a whole",
        ),
        ({"q": {"d": float("nan")}}, "is nan"),
        ({"q": {"d": "1"}}, r"is '1' \(str\)"),
        ({"q": {"d": None}}, "is None"),
        ({"q": {"d": 2**31}}, "from -2147483647 to 2147483647"),
        ({"q": {3: 1}}, r"a document id in the judgments of query 'q' is 3 \(int\); give a text"),
        ([("q", "d", 1)], r"for the judgments, .*\(list\) was given"),
    ],
)
def test_the_judgment_that_is_wrong_is_named(qrels: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate(Run.from_dict({"q": {"d": 1.0}}), qrels)


def test_grades_of_files_may_be_whole_floats(tmp_path: Path) -> None:
    path = tmp_path / "q.tsv"
    path.write_text("Query\tcorpus-id\tscore\nq\ta\t1.0\nq\tb\t0.0\n")
    assert read_qrels(path) == {"q": {"a": 1, "b": 0}}
    for grade in ("1.5", "nan", "9" * 11, "1e1"):
        path.write_text(f"q 0 a {grade}\n")
        with pytest.raises(CorpusError, match=f"line 1: grade '{grade}' is no whole number"):
            read_qrels(path)


def test_ids_of_parquet_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    broken = pa.array([b"a", b"caf\xe9"], pa.binary())
    for ids in (broken, pa.StringArray.from_buffers(2, *broken.buffers()[1:])):
        pq.write_table(pa.table({"id": ids, "text": ["x", "y"]}), path)
        with pytest.raises(CorpusError, match=r"row 2: wrong encoding: 'id' holds '\\udce9' at 3"):
            read(path)
        assert [each.doc_id for each in read(path, skip_bad=True)] == ["a"]
    pq.write_table(pa.table({"id": [None, "b"], "text": ["x", "y"]}), path)
    with pytest.raises(CorpusError, match="row 1: missing field: 'id' is null, expected a text"):
        read(path)


LINES = '{"id": "a", "text": "é"}\n{"id": "b", "text": "y"}\n'
ARRAY = json.dumps([{"id": "a", "text": "é"}, {"id": "b", "text": "y"}], indent=1)
READ_BACK = [Document("a", "é"), Document("b", "y")]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    return bytes(sink.getvalue().to_pybytes())


FILES: dict[str, bytes] = {
    "UP.JSONL.GZ": gzip.compress(LINES.encode()),
    "c.jsonl.bz2": bz2.compress(LINES.encode()),
    "c.jsonl.xz": lzma.compress(LINES.encode()),
    "c.Jsonl.Zst": zstd(LINES.encode()),
    "packed but not called so.jsonl": gzip.compress(LINES.encode()),
    "c.json": ARRAY.encode(),
    "one line.json": json.dumps(json.loads(ARRAY)).encode() + b"\n",
    "lines.json": LINES.encode(),
    "c.json.gz": gzip.compress(b"\n" + ARRAY.encode()),
    "utf-16.jsonl": LINES.encode("utf-16"),
    "utf-16-be.jsonl": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "utf-32.json": ARRAY.encode("utf-32"),
    "utf-16.csv": "id,text\r\na,é\r\nb,y\r\n".encode("utf-16"),
    "UTF-16.TSV.GZ": gzip.compress("id\ttext\na\té\nb\ty\n".encode("utf-16")),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_they_lie_about(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    assert read(tmp_path / name) == READ_BACK
    cut = FILES[name][: len(FILES[name]) - 9]
    if name.lower().endswith(("gz", "bz2", "xz", "zst")) or name.startswith("packed"):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(CorpusError, match=r"after line .*: broken (gzip|bz2|xz|zst) data"):
            read(tmp_path / name)


def test_an_encoding_that_the_mark_contradicts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(LINES.encode("utf-16"))
    with pytest.raises(CorpusError, match="begins with the mark of utf-16, so it is not latin-1"):
        read(tmp_path / "c.jsonl", encoding="latin-1")
    (tmp_path / "q.qrels").write_bytes("q 0 a 1\n".encode("utf-16"))
    assert read_qrels(tmp_path / "q.qrels") == {"q": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"id": "a", "text": "x"}', "after record 1: broken JSON array .it has no end"),
        ('[{"id": "a", "text": "x"},\n{"id": b},\n{"id": "c"}]', "record 2: broken JSON array"),
        ('[{"id": "a", "text": "x"}, 7]', "record 2: broken line: 7 is not a JSON object"),
        ("[]", "no documents"),
    ],
)
def test_broken_arrays(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CorpusError, match=said):
        read(tmp_path / "c.json")
    (tmp_path / "c.jsonl").write_text(ARRAY)
    with pytest.raises(CorpusError, match=r"an array of objects is read from a file named \.json"):
        read(tmp_path / "c.jsonl")


def test_another_delimiter_is_named_and_accepted(tmp_path: Path, hybrid_command: Command) -> None:
    (tmp_path / "plain.csv").write_text("id;text\na;x, y\n")
    with pytest.raises(CorpusError, match=r"line 1: ';' separates its columns, not ','; .*r ';'"):
        read(tmp_path / "plain.csv")
    (tmp_path / "c.csv").write_text('"id";"text"\na;x, y\n')
    built = ("build", tmp_path / "c.csv", "-o", tmp_path / "idx", *BM25)
    status, _, err = hybrid_command(*built)
    assert status == 1
    assert "--delimiter ';'" in err
    assert hybrid_command(*built, "--delimiter", ";")[0] == 0
    (tmp_path / "tabs.csv").write_text("id\ttext\na\tx\n")
    with pytest.raises(CorpusError, match=r"--delimiter '\\t'"):
        read(tmp_path / "tabs.csv")
    assert read(tmp_path / "tabs.csv", delimiter=r"\t") == [Document("a", "x")]


def test_a_folder_of_files_of_one_kind_is_a_corpus(tmp_path: Path) -> None:
    for part, doc_id in enumerate("ab"):
        record = {"id": doc_id, "text": "x"}
        jsonl(tmp_path / f"part-{part}.jsonl", record | ({"n": 1} if part else {}))
    (tmp_path / "_SUCCESS.json").write_text("")
    source = open_source(tmp_path, options=SourceOptions(fields=("n",)))
    assert [(each.doc_id, each.fields) for each in source.documents()] == [
        ("a", {}),
        ("b", {"n": 1}),
    ]
    assert source.document_count() == 2
    jsonl(tmp_path / "part-2.jsonl", {"id": "a", "text": "again"})
    with pytest.raises(CorpusError, match=r"part-2\.jsonl, line 1: duplicate id"):
        list(open_source(tmp_path).documents())
    (tmp_path / "part.parquet").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"files of the kinds \.jsonl, \.parquet"):
        open_source(tmp_path)


def test_nested_fields_are_named_by_dots(tmp_path: Path, hybrid_command: Command) -> None:
    record = {"doc": {"id": "a", "body": "x"}, "meta": {"year": 2020, "tag": {"lang": "en"}}}
    columns = {"id_column": "doc.id", "text_column": "doc.body"}
    fields = ("meta.year:int", "meta.tag.lang")
    expected = {"meta.year": 2020, "meta.tag.lang": "en"}
    jsonl(tmp_path / "c.jsonl", record)
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "c.parquet")
    for name in ("c.jsonl", "c.parquet"):
        (found,) = read(tmp_path / name, fields=fields, **columns)
        assert found == Document("a", "x", fields=expected)
        assert found.fields == expected
        with pytest.raises(CorpusError, match=r"no column 'meta\.yaer' to store"):
            read(tmp_path / name, fields=("meta.yaer",), **columns)
    index = tmp_path / "idx"
    options = ("--id-column", "doc.id", "--text-column", "doc.body", "--fields", ",".join(fields))
    assert hybrid_command("build", tmp_path / "c.jsonl", "-o", index, *BM25, *options)[0] == 0
    _, out, _ = hybrid_command("search", index, "x", "--json", "--filter", "meta.year >= 2020")
    assert len(json.loads(out)["hits"]) == 1
    assert str(parse_filter("meta.tag.lang == 'en'")) == 'meta.tag.lang == "en"'


def test_cells_of_a_table_have_the_type_that_all_of_them_allow(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "id,text,whole,price,new,code,mixed,none,late\n"
        "a,x,1,9,true,007,1,,\nb,y,,2.5,FALSE,8,two,,4\nc,z,3,nan,,,3,,5.5\n"
    )
    names = ("whole", "price", "new", "code", "mixed", "none", "late")
    source = open_source(tmp_path / "c.csv", options=SourceOptions(fields=names))
    assert [each.fields for each in source.documents()] == [
        {"whole": 1, "price": 9.0, "new": True, "code": "007", "mixed": "1"},
        {"price": 2.5, "new": False, "code": "8", "mixed": "two", "late": 4.0},
        {"whole": 3, "code": "", "mixed": "3", "late": 5.5},
    ]


@pytest.mark.parametrize("scores", [[1e40], [-1e40], [float("inf")], [float("nan")], ["x"], [None]])
def test_a_score_that_is_no_number_of_32_bits_is_refused_without_noise(
    tmp_path: Path, scores: list[Any]
) -> None:
    (tmp_path / "run").write_text(f"q Q0 a 1 {scores[0]} x\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match=r"not finite in float32|give numbers"):
            Run.from_dict({"q": {"a": scores[0]}})
        with pytest.raises(CorpusError, match=r"run, line 1: score .* is not a finite float32"):
            Run.read_trec(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("year >= 2020 AND lang == 'en'", "written and"),
        ("year == 1 Or year == 2", "written or"),
        ("NOT year == 1", "written not"),
        ("lang NOT IN ['de']", "`not FIELD in"),
        ("lang not in ['de']", "`not FIELD in"),
        ("lang IN ['de']", "`FIELD in"),
        ("lang in ('de', 'en')", r"`FIELD in \[...\]`"),
        ("year IS NULL", "`FIELD is null`"),
        ("year is NULL", "`FIELD is null`"),
        ("year == null", "`FIELD is null`"),
        ("year != None", "`FIELD is not null`"),
        ("year == NaN", "`FIELD is null`"),
        ("exists year", "`FIELD is not null`"),
        ("year <> 3", "written !="),
        ("year: 3", "equality is written =="),
        ("year gte 3", "written >="),
        ("year BETWEEN 1 AND 3", "`FIELD >= 1 and FIELD <= 9`"),
        ("lang LIKE 'x%'", "there is no like"),
        ("2000 < year", "its field first"),
        ("open == True", "written true"),
        ("lang == en", 'written "en", in quotes'),
        ("lang == “en”", "plain quotes"),
    ],
)
def test_other_spellings_of_a_filter_get_the_accepted_form(text: str, form: str) -> None:
    with pytest.raises(UsageError, match=form):
        parse_filter(text)


def test_a_surrogate_pair_in_a_filter_is_one_character() -> None:
    assert str(parse_filter('lang == "\\ud83d\\ude00"')) == 'lang == "😀"'
