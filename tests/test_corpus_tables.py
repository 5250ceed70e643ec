"""TSV, CSV and Parquet: headers, chosen columns, and what a bad file is told."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from hybrid.corpus import Document, Query, SourceOptions, open_source
from hybrid.errors import CorpusError


def read(path: Path, **options: object) -> list[Document]:
    return list(open_source(path, options=SourceOptions(**options)).documents())  # type: ignore[arg-type]


def test_tsv_with_header(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text('id\ttext\ttitle\na\t"quoted" x\tT\n\nb\ty\t\n')
    assert read(path) == [Document("a", '"quoted" x', "T"), Document("b", "y")]


def test_tsv_of_two_columns_without_header_is_id_and_text(tmp_path: Path) -> None:
    path = tmp_path / "collection.tsv.gz"
    path.write_bytes(gzip.compress(b"0\tpresence of communication\n1\tManhattan\r\n"))
    assert read(path) == [
        Document("0", "presence of communication"),
        Document("1", "Manhattan"),
    ]


def test_columns_by_number(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("x\ta\tT\ny\tb\tU\n")
    options = {"id_column": "2", "text_column": "1"}
    assert read(path, **options) == [Document("a", "x"), Document("b", "y")]
    assert read(path, **options, title_column="3")[0] == Document("a", "x", "T")
    with pytest.raises(CorpusError, match="no column 4, the first line has 3"):
        read(path, id_column="4", text_column="1")
    with pytest.raises(CorpusError, match="no column 0"):
        read(path, id_column="0", text_column="1")


def test_columns_by_name(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('key,body text,head\na,"one, ""two""\nthree",H\n')
    options = {"id_column": "key", "text_column": "body text", "title_column": "head"}
    assert read(path, **options) == [Document("a", 'one, "two"\nthree', "H")]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,x\nb,y\n", {}),  # a CSV file without a header is never guessed
        ("id,other\na,x\n", {}),
        ("id,text,text\na,x,y\n", {}),
        ("id,text\na,x\n", {"text_column": "body"}),
        ("id,text\na,x\n", {"title_column": "head"}),
        ("id,text\na,x\n", {"id_column": "1"}),
    ],
)
def test_header_that_lacks_a_column(tmp_path: Path, text: str, options: dict[str, str]) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text)
    if options == {"id_column": "1"}:  # the text column is then the unknown 'text'
        options = {"id_column": "1", "text_column": "text"}
    with pytest.raises(CorpusError, match=r"c\.csv, line 1: expected a header"):
        read(path, **options)


def test_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("id;text\na;x,y\n")
    assert read(path, delimiter=";") == [Document("a", "x,y")]


def test_wrong_number_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    path.write_text("a\tx\nb\ty\tz\nc\tw\n")
    with pytest.raises(CorpusError, match=r"line 2: broken line: 3 columns, expected 2"):
        read(path)
    assert [document.doc_id for document in read(path, skip_bad=True)] == ["a", "c"]


def test_csv_lines_are_counted_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('id,text\na,"two\nlines"\na,again\n')
    with pytest.raises(CorpusError, match="line 4: duplicate id"):
        read(path)


def test_csv_quote_that_never_closes(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('id,text\na,x\nb,"y\nc,z\n')
    with pytest.raises(CorpusError, match="line 3: broken line: not CSV"):
        read(path)
    assert read(path, skip_bad=True) == [Document("a", "x")]


def test_csv_cell_longer_than_the_default_limit_of_the_csv_module(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    long = "x" * 200_000
    path.write_text(f"id,text\na,{long}\n")
    assert read(path) == [Document("a", long)]
    assert csv.field_size_limit() > len(long)


@pytest.mark.parametrize("name", ["c.csv", "c.tsv"])
def test_wrong_encoding_names_the_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    separator = b"," if name == "c.csv" else b"\t"
    path.write_bytes(separator.join([b"id", b"text"]) + b"\na" + separator + b"caf\xe9\n")
    with pytest.raises(CorpusError, match="line 2: wrong encoding"):
        read(path)
    assert read(path, encoding="latin-1") == [Document("a", "café")]


def test_query_table(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_text("a\tx\n")
    (tmp_path / "q.tsv").write_text("1\twho\n2\twhat\n")
    options = SourceOptions(queries=tmp_path / "q.tsv")
    source = open_source(tmp_path / "c.tsv", options=options)
    assert list(source.queries()) == [Query("1", "who"), Query("2", "what")]
    assert source.document_count() == 1


def test_empty_table(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "h.csv").write_text("id,text\n")
    for name in ("c.csv", "h.csv"):
        with pytest.raises(CorpusError, match="no documents"):
            read(tmp_path / name)


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "c.parquet"
    parquet.write_table(pa.table({"id": [7, 8], "text": ["x", "y"], "n": [1.0, 2.0]}), path)
    source = open_source(path)
    assert list(source.documents()) == [Document("7", "x"), Document("8", "y")]
    assert source.document_count() == 2
    assert read(path, title_column="text")[0] == Document("7", "x", "x")
    with pytest.raises(CorpusError, match="no column 'body'"):
        read(path, text_column="body")
    with pytest.raises(CorpusError, match=r"row 1: field that is no string: 'n'"):
        read(path, text_column="n")
    parquet.write_table(pa.table({"id": ["7", "7"], "text": ["x", "y"]}), path)
    with pytest.raises(CorpusError, match="row 2: duplicate id"):
        read(path)
    parquet.write_table(pa.table({"id": [None, "7"], "text": ["x", None]}), path)
    with pytest.raises(CorpusError, match="row 1: missing field"):
        read(path)


def test_broken_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "c.parquet"
    path.write_bytes(b"PAR1 this is not Parquet")
    with pytest.raises(CorpusError, match="after row 0: broken Parquet data"):
        read(path)
    assert open_source(path).document_count() is None
    texts = [f"text number {n}" for n in range(5000)]
    parquet.write_table(pa.table({"id": [str(n) for n in range(5000)], "text": texts}), path)
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(bytes(data))
    with pytest.raises(CorpusError, match="row"):
        read(path)
    source = open_source(path, options=SourceOptions(queries=tmp_path / "none.parquet"))
    with pytest.raises(CorpusError, match="does not exist"):
        list(source.queries())
