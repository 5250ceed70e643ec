"""Milvus alone: pushes that are cut, long texts, and what it cannot do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import hybrid
from hybrid import Document
from hybrid.encoders import Bm25Parameters
from hybrid.engines.milvus import push, store
from hybrid.engines.milvus.client import Milvus
from hybrid.errors import IndexFormatError, TransferError, UsageError
from tests.conformance.conftest import NUMBERS, opened
from tests.conformance.servers import free_port, milvus_lite
from tests.conformance.test_places import hits

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"milvus://{tmp_path_factory.getbasetemp()}/alone.db#m{next(NUMBERS)}"


def test_a_push_that_is_cut_goes_on_and_nothing_is_double(
    address: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.engines.content.SHARD", 40)
    note, noted = push._note, []

    def cut(milvus: Any, generation: dict[str, Any], state: int) -> None:
        noted.append(state)
        if len(noted) == 2:
            raise KeyboardInterrupt
        note(milvus, generation, state)

    monkeypatch.setattr(push, "_note", cut)
    with pytest.raises(KeyboardInterrupt):
        hybrid.push_index(made["documents"], address)
    with pytest.raises(IndexFormatError, match="holds no index"):
        opened(address)
    hybrid.push_index(made["documents"], address)
    assert noted == [1, 2, 2, 3, 4, -1]
    with opened(made["documents"]) as folder, opened(address) as there:
        for fusion in ("bm25", "dense"):
            expected = hits(folder, "w1 w2", k=200, fusion=fusion)
            assert hits(there, "w1 w2", k=200, fusion=fusion) == expected


def test_a_server_that_is_killed_is_an_error_and_answers_when_it_is_back(
    made: dict[str, Path], tmp_path: Path
) -> None:
    port = free_port()
    address = f"milvus://127.0.0.1:{port}#papers"
    with milvus_lite(tmp_path / "data", port) as process:
        hybrid.push_index(made["documents"], address)
        there = opened(address)
        expected = hits(there, "w1 w2", k=20)
        process.kill()
        process.wait(30)
        with pytest.raises(TransferError, match=rf"127.0.0.1:{port} cannot .* Check the address"):
            there.search("w1 w2", k=20)
        with pytest.raises(TransferError, match="server unavailable"):
            there.search("w1 w2", fusion="dense", filter="year >= 2010")
        with pytest.raises(TransferError, match=str(port)):
            opened(address)
    with milvus_lite(tmp_path / "data", port), there:
        end = time.monotonic() + 30  # the client tries it again after a pause that grows
        while True:
            try:
                assert hits(there, "w1 w2", k=20) == expected
                break
            except TransferError:
                assert time.monotonic() < end
                time.sleep(0.2)
        with opened(address) as anew, opened(made["documents"]) as folder:
            for asked in ({"fusion": "bm25"}, {"fusion": "dense", "filter": "year >= 2010"}):
                assert hits(anew, "w1 w2", **asked) == hits(folder, "w1 w2", **asked)
        hybrid.push_index(made["passages"], address)
        with opened(address) as later:
            assert later.view().contents.generation.name == "papers_000002"


def test_a_text_longer_than_a_value_of_milvus_comes_back(address: str, tmp_path: Path) -> None:
    text = "\N{GRINNING FACE} merge lists " * 4000
    encoders = {"bm25": Bm25Parameters()}
    hybrid.build_index([Document("long", text)], tmp_path / "idx", encoders=encoders)
    hybrid.push_index(tmp_path / "idx", address)
    with hybrid.open(address) as there:
        assert there.search("merge")[0].text == text


def test_more_candidates_than_milvus_gives_are_refused(
    address: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid.push_index(made["documents"], address)
    monkeypatch.setattr(store, "FAR", 100)
    with opened(address) as there:
        assert there.search("w1", depth=50)
        with pytest.raises(UsageError, match="smaller depth"):
            there.search("w1", depth=90)


def test_more_ties_than_milvus_gives_are_said(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(f"d{number:03}", "alpha beta") for number in range(150)]
    hybrid.build_index(documents, tmp_path / "idx", encoders={"bm25": Bm25Parameters()})
    hybrid.push_index(tmp_path / "idx", address)
    monkeypatch.setattr(store, "FAR", 100)
    with hybrid.open(address) as there, pytest.raises(UsageError, match="as good as hit 10,"):
        there.search("alpha", k=3, depth=10)
    monkeypatch.setattr(store, "FAR", 150)
    with hybrid.open(address) as there:
        assert [hit.doc_id for hit in there.search("alpha", k=3, depth=10)] == [
            "d149",
            "d148",
            "d147",
        ]


def test_a_user_and_its_password_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    pymilvus = pytest.importorskip("pymilvus")
    given: list[Any] = []
    monkeypatch.setattr(pymilvus, "MilvusClient", lambda *at, **more: given.append((at, more)))
    Milvus("milvus://ro%40ot:p%40ss@host:19531#papers")
    Milvus("milvus://host?secure=true")
    Milvus("milvus:///folder/papers.db")
    assert given == [
        (("http://host:19531",), {"token": "ro@ot:p@ss"}),
        (("https://host:19530",), {}),
        (("/folder/papers.db",), {"timeout": 60}),
    ]
    with pytest.raises(UsageError, match="secure=true"):
        Milvus("milvus://host?nonsense=1")


def test_a_branch_with_the_name_of_a_collection_is_refused(address: str, tmp_path: Path) -> None:
    encoders = {"files": Bm25Parameters()}
    hybrid.build_index([Document("a", "alpha")], tmp_path / "idx", encoders=encoders)
    with pytest.raises(UsageError, match="'files'"):
        hybrid.push_index(tmp_path / "idx", address)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="small letters"):
        hybrid.open("milvus:///nowhere.db#Not a name")
