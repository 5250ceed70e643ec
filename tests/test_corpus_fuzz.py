"""Any bytes at all: the readers give records or a documented error, and never anything else."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hybrid.corpus import Document, Source, SourceOptions, open_source
from hybrid.corpus.qrels import read_qrels
from hybrid.errors import CorpusError

FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Bytes that a parser may stumble over, and whole good and bad records.
PIECES = st.sampled_from(
    [
        b'{"_id": "a", "text": "x"}',
        b'{"_id": "b", "title": "t", "text": ""}',
        b'{"_id": 1, "text": "x"}',
        b'{"id": null}',
        b"{}",
        b"[]",
        b"NaN",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b",",
        b'"',
        b'""',
        b"\\",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"id\ttext\n",
        b"id,text\n",
        b"query-id\tcorpus-id\tscore\n",
        b"q 0 d 1\n",
        b"q\td\t-1\n",
        b"9" * 30,
        " é\u2028".encode(),
    ]
)
BYTES = st.one_of(
    st.binary(max_size=200), st.lists(PIECES | st.binary(max_size=5), max_size=20).map(b"".join)
)
ENCODINGS = st.sampled_from(["utf-8", "latin-1", "ascii", "cp1252", "shift_jis", "utf-7"])


def documents_or_error(source: Source) -> tuple[list[Document], str]:
    try:
        return list(source.documents()), ""
    except CorpusError as error:
        return [], str(error)


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv", ".csv", ".parquet", ".jsonl.gz", ".csv.gz"])
@FAST
@given(data=BYTES, encoding=ENCODINGS, skip_bad=st.booleans(), numbered=st.booleans())
@example(data=b"", encoding="utf-8", skip_bad=False, numbered=False)
def test_any_bytes_give_documents_or_a_corpus_error(
    tmp_path: Path, suffix: str, data: bytes, encoding: str, skip_bad: bool, numbered: bool
) -> None:
    path = tmp_path / f"corpus{suffix}"
    path.write_bytes(data)
    columns = {"id_column": "2", "text_column": "1"} if numbered else {}
    options = SourceOptions(encoding=encoding, skip_bad=skip_bad, **columns)
    source = open_source(path, options=options)
    documents, message = documents_or_error(source)
    if message:
        assert path.name in message
        return
    assert documents
    assert len({document.doc_id for document in documents}) == len(documents)
    for document in documents:
        assert document.doc_id.split() == [document.doc_id]
        assert document.full_text.strip()
        document.full_text.encode("utf-8")
        assert "\0" not in document.doc_id + document.full_text
    assert source.skipped.total == 0 or skip_bad


@FAST
@given(data=BYTES)
@example(data=b"q 0 d " + b"9" * 5000)
@example(data=b"q\td\t\n")
def test_any_bytes_give_qrels_or_a_corpus_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_bytes(data)
    try:
        qrels = read_qrels(path)
    except CorpusError:
        return
    for judged in qrels.values():
        assert judged
        assert all(isinstance(grade, int) for grade in judged.values())


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)


@FAST
@given(records=st.dictionaries(IDS, st.tuples(TEXT, TEXT.filter(str.strip)), min_size=1))
def test_what_is_written_as_jsonl_is_read_back(
    tmp_path: Path, records: dict[str, tuple[str, str]]
) -> None:
    path = tmp_path / "corpus.jsonl"
    documents = [Document(doc_id, text, title) for doc_id, (title, text) in records.items()]
    lines = [
        json.dumps({"_id": one.doc_id, "title": one.title, "text": one.text}, ensure_ascii=False)
        for one in documents
    ]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert list(open_source(path).documents()) == documents


def packed_corpora() -> dict[str, bytes]:
    records = [{"id": f"d{n}", "title": "x" * (n % 7), "text": f"naïve {n}"} for n in range(50)]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    corpora = {"corpus.jsonl.gz": gzip.compress(lines.encode())}
    for compression in ("none", "snappy", "zstd"):
        table = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(records), table, compression=compression)
        corpora[f"{compression}.parquet"] = table.getvalue()
    return corpora


PACKED = packed_corpora()


@pytest.mark.parametrize("name", PACKED)
@FAST
@given(at=st.integers(min_value=0), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_packed_corpus_gives_documents_or_a_corpus_error(
    tmp_path: Path, name: str, at: int, byte: int, cut: bool
) -> None:
    data = bytearray(PACKED[name])
    at %= len(data)
    data[at] = byte
    (tmp_path / name).write_bytes(data[:at] if cut else data)
    source = open_source(tmp_path / name)
    documents, message = documents_or_error(source)
    assert message or len(documents) == 50
    assert source.document_count() in (None, 50) or message
