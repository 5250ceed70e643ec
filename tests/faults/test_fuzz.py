"""Every parser of foreign bytes, fed with mutated good inputs: only documented errors come out."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hybrid.corpus import Document, open_source
from hybrid.corpus.qrels import read_qrels
from hybrid.errors import CorruptIndexError, HybridError
from hybrid.fusion import parse_fusion
from hybrid.fusion.run import Run
from hybrid.index.documents.filter_columns import matches
from hybrid.index.documents.filters import parse_filter
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.write import write_documents
from hybrid.index.storage.generation import read_current
from hybrid.index.storage.manifest import parse_manifest
from hybrid.index.storage.writer import write_current
from hybrid.machine.arrays import open_array
from tests.faults.scenarios import forked
from tests.faults.size import sized

pytestmark = pytest.mark.faults
Parse = Callable[[bytes], object]

COLUMNS = {
    "year": pa.array([1, None], pa.int64()),
    "lang": pa.array(["en", None], pa.large_string()),
}
MANIFEST = {
    "format": "hybrid-index",
    "format_version": 1,
    "number": 3,
    "created_by": "hybrid-retrieval 0.1.0",
    "created_at": "2026-01-01T00:00:00+00:00",
    "content": {"document_count": 2, "segments": [["000001", 2]]},
    "files": {"segments/000001/documents/ids.arrow": [1234, "0" * 32]},
}
PIECES = [b"\0", b"\xff", b"\n", b"\t", b'"', b"'", b"\\", b"{", b"[", b"(", b"../", b"nan", b"-1"]
PIECES += [b"1e999", b"9" * 30, "é😀".encode(), b"null", b"not ", b" and ", b"`", b"\r"]
PIECES += [b"\xed\xa0\x80"]


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Return the data with one to four small changes."""
    out = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(out) + 1)
        choice = chance.randrange(5)
        if choice == 0 and out:
            out[at % len(out)] ^= 1 << chance.randrange(8)
        elif choice == 1:
            out[at:at] = chance.choice(PIECES)
        elif choice == 2:
            del out[at : at + chance.randrange(1, 9)]
        elif choice == 3:
            stop = at + chance.randrange(1, 20)
            out[at:at] = out[at:stop]
        else:
            out[at : at + 3] = chance.choice(PIECES)
    return bytes(out)


def through(path: Path, parse: Callable[[Path], object]) -> Parse:
    """Return a parser of bytes out of a parser of files."""

    def call(data: bytes) -> object:
        path.write_bytes(data)
        return parse(path)

    return call


def of_text(parse: Callable[[str], object]) -> Parse:
    return lambda data: parse(data.decode("utf-8", "replace"))


def parsers(folder: Path) -> list[tuple[str, int, bytes, Parse]]:
    """Return (name, share of the inputs, a good input, parser)."""
    write_current(folder, f"000003-{'a' * 32}", 1)
    current = (folder / "CURRENT").read_bytes()
    documents = folder / "documents"
    documents.mkdir()
    write_documents([Document(each, text=each * 9) for each in "cba"], documents)
    np.save(folder / "array.npy", np.arange(6, dtype=np.float32).reshape(2, 3))

    def corpus(path: Path) -> object:
        return list(open_source(path).documents())

    rows = [{"_id": f"d{number}", "title": "t", "text": "some text"} for number in range(3)]
    jsonl = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return [
        ("manifest", 25, json.dumps(MANIFEST).encode(), lambda data: parse_manifest(data, "m")),
        (
            "filter",
            25,
            b'year >= 2020 and not (lang in ["en", "de"] or lang is null)',
            of_text(lambda text: matches(parse_filter(text), COLUMNS)),
        ),
        ("fusion", 15, b"cc(alpha=0.42, norm=tmm)", of_text(parse_fusion)),
        ("fusion", 10, b"rrf(k=60, branches=(sparse, dense))", of_text(parse_fusion)),
        (
            "current",
            5,
            current,
            through(folder / "CURRENT", lambda path: read_current(path.parent)),
        ),
        ("qrels", 5, b"q1 0 d1 2\nq2 0 d2 0\n", through(folder / "q.txt", read_qrels)),
        (
            "qrels",
            3,
            b"query-id\tcorpus-id\tscore\nq\td\t1\n",
            through(folder / "q.tsv", read_qrels),
        ),
        (
            "run",
            5,
            b"q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 1.5 tag\n",
            through(folder / "r.txt", Run.read_trec),
        ),
        ("corpus", 3, jsonl, through(folder / "c.jsonl", corpus)),
        ("corpus", 2, b"_id\ttitle\ttext\nd1\tt\tsome text\n", through(folder / "c.tsv", corpus)),
        (
            "documents",
            1,
            (documents / "texts.arrow").read_bytes(),
            through(
                documents / "texts.arrow",
                lambda path: list(DocumentStore([DocumentSegment(path.parent)])),
            ),
        ),
        (
            "array",
            1,
            (folder / "array.npy").read_bytes(),
            through(
                folder / "array.npy", lambda path: open_array(path, np.float32, (None, 3)).sum()
            ),
        ),
    ]


def test_parsers_raise_only_documented_errors(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    total = sized(4000, 200_000, 400_000)
    everything = parsers(tmp_path)
    share = sum(weight for _, weight, _, _ in everything)
    report = tmp_path / "report.json"

    def feed() -> None:
        outcomes: Counter[str] = Counter()
        for number, (name, weight, good, parse) in enumerate(everything):
            parse(good)
            chance = random.Random(number)
            for _ in range(total * weight // share):
                data = mutated(chance, good)
                (tmp_path / "input").write_bytes(data)
                try:
                    parse(data)
                    outcomes[f"{name}: accepted"] += 1
                except HybridError as error:
                    outcomes[f"{name}: {type(error).__name__}"] += 1
        report.write_text(json.dumps(outcomes))

    # In a child, so that a crash of a native parser is a failure, not the end of the test run.
    answer = forked(feed)
    assert answer == "done", f"{answer}\ninput: {(tmp_path / 'input').read_bytes()!r}"
    outcomes = json.loads(report.read_text())
    record_property("outcomes", outcomes)
    assert sum(outcomes.values()) >= total * 0.98
    assert any(name.startswith("manifest: ") and "accepted" not in name for name in outcomes)


def test_a_manifest_cannot_make_a_reader_reserve_what_is_not_there(tmp_path: Path) -> None:
    """Sizes are compared with the files, arrays with their headers, before memory is taken."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 3), }"
    body = header.ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes([118, 0]) + body + bytes(24))
    with pytest.raises(CorruptIndexError):
        open_array(tmp_path / "a.npy", np.float32, (None, 3))
