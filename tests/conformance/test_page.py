"""The blocks of docs/howto/engines.md run against servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hybrid
from tests.conformance.servers import Server
from tests.docs.blocks import ENGINES, run_page

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]
PAGE = Path(__file__).parent.parent.parent / "docs" / "howto" / "engines.md"


def test_the_page_of_engines_runs(
    postgres: Server,
    more_servers: list[Server],
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    documents = [{"id": f"d{n}", "text": "merge sorted lists", "year": 2015 + n} for n in range(9)]
    options = hybrid.BuildOptions(sparse=None, dense=None)
    reading = hybrid.SourceOptions(fields=("year",))
    hybrid.build_index(documents, "my.idx", options, reading=reading)
    Path("new.jsonl").write_text(json.dumps({"id": "new", "text": "merge", "year": 2030}))
    one, two = more_servers
    there = {
        "postgresql://me@host/db": postgres.url,
        "postgresql://me@one/db;postgresql://me@two/db": f"{one.url};{two.url}",
        "s3://bucket/my.idx": f"{bucket}/my.idx",
    }
    run_page(PAGE, tmp_path, ENGINES, there)
    with hybrid.open(f"{postgres.url}#papers") as index:
        assert len(index) == 10
        assert [hit.doc_id for hit in index.search("merge", filter="year == 2030")] == ["new"]
    with hybrid.open(f"{one.url};{two.url}#papers") as index:
        assert len(index) == 9
