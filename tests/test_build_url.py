"""A build whose output is a URL: made in the cache, copied there, removed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

import hybrid
from hybrid import BuildOptions
from hybrid.cli import application
from hybrid.encoders import Bm25Parameters
from hybrid.errors import MissingPackageError, OutputExistsError, TransferError, UsageError
from hybrid.index import transfer
from tests.made_encoders import HashDense, HashSparse
from tests.test_build import files
from tests.test_living import assert_same, document
from tests.test_transfer import FakeHub, fake_hub

__all__ = ["fake_hub"]
DOCUMENTS = [document(number) for number in range(200)]


class Counting(HashSparse):
    """It counts the texts that it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = 0

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> csr_matrix:
        self.texts += len(texts)
        return super().encode_documents(texts, progress)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing is yet, and a cache of this test."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return f"memory://built{tmp_path.name}{tmp_path.parent.name}/my.idx"


def kept(tmp_path: Path) -> list[Path]:
    """The working folders in the cache."""
    return sorted((tmp_path / "cache").glob("builds/*"))


def test_a_push_that_is_cut_goes_on_without_encoding_again(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = Counting()
    encoders: dict[str, Any] = {"sparse": sparse, "dense": HashDense(), "bm25": Bm25Parameters()}
    real, sent = transfer._put, []

    def cut(system: Any, path: Path, place: str) -> None:
        if len(sent) == 4:
            raise ConnectionError("the network is gone")
        real(system, path, place)
        sent.append(place)

    monkeypatch.setattr(transfer, "_put", cut)
    with pytest.raises(TransferError, match=r"network is gone.*builds/\w+ keeps what was encoded"):
        hybrid.build_index(DOCUMENTS, url, encoders=encoders)
    sample = sparse.texts - len(DOCUMENTS)  # of the survey, before the first shard
    assert len(kept(tmp_path)) == 1
    with pytest.raises(hybrid.HybridError, match="holds no index"):
        hybrid.open(url)
    monkeypatch.setattr(transfer, "_put", real)
    report = hybrid.build_index(DOCUMENTS, url, encoders=encoders)
    assert sparse.texts == len(DOCUMENTS) + 2 * sample
    assert report.to_dict()["index"] == url
    assert f"copied to {url}" in report.notes[-1]
    assert kept(tmp_path) == []
    local = hybrid.build_index(DOCUMENTS, tmp_path / "idx", encoders=encoders)
    assert local.output == tmp_path / "idx"
    assert report.size_bytes == local.size_bytes
    brought = {name: encoders[name] for name in ("sparse", "dense")}
    with (
        hybrid.open(url, encoders=brought) as there,
        hybrid.open(tmp_path / "idx", encoders=brought) as folder,
    ):
        assert_same(there, folder)


def test_what_cannot_be_written_to_is_refused_before_a_text_is_encoded(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse = Counting()

    def refused(error: type[Exception], said: str, address: str) -> None:
        with pytest.raises(error, match=said):
            hybrid.build_index(DOCUMENTS, address, encoders={"sparse": sparse})

    (tmp_path / "taken").write_text("mine")
    refused(OutputExistsError, "taken exists", f"file://{tmp_path}/taken")
    refused(TransferError, r"nonsense://me:\*{3}@x", "nonsense://me:secret@x")
    refused(UsageError, "holds no files", "postgresql://me@host/db")
    MemoryFileSystem().pipe_file(f"{url}/CURRENT", b"an index")
    refused(OutputExistsError, "holds an index", url)
    MemoryFileSystem().rm(f"{url}/CURRENT")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "pipe_file", None)  # it can be read only
        refused(TransferError, "access rights", url)
    with monkeypatch.context() as patch:
        patch.setattr("fsspec.core.url_to_fs", Mock(side_effect=ImportError("no s3fs")))
        refused(MissingPackageError, r"hybrid-retrieval\[s3\]", "s3://bucket/my.idx")
    assert sparse.texts == 0
    assert kept(tmp_path) == []
    assert not MemoryFileSystem().find(url)


@pytest.mark.parametrize("address", ["file://{}/there", "hf://me/index"])
def test_a_folder_and_a_repository_are_built_once(
    tmp_path: Path, url: str, fake_hub: FakeHub, address: str
) -> None:
    place = address.format(tmp_path)
    hybrid.build_index(DOCUMENTS, place, encoders={"bm25": Bm25Parameters()})
    with pytest.raises(OutputExistsError):
        hybrid.build_index(DOCUMENTS, place, encoders={"bm25": Bm25Parameters()})
    hybrid.pull_index(place, tmp_path / "near")
    hybrid.build_index(DOCUMENTS, tmp_path / "idx", encoders={"bm25": Bm25Parameters()})
    assert files(tmp_path / "near") == files(tmp_path / "idx")
    assert kept(tmp_path) == []


def test_another_corpus_after_a_cut_is_built_itself(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = {"bm25": Bm25Parameters()}
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_put", None)
        with pytest.raises(TransferError):
            hybrid.build_index(DOCUMENTS, url, BuildOptions(), encoders=encoders)
    hybrid.build_index(DOCUMENTS[50:], url, encoders=encoders)
    with hybrid.open(url) as there:
        assert len(there) == len(DOCUMENTS) - 50


def test_the_command_says_where_it_worked_and_where_the_index_is(
    beir_folder: Path, tmp_path: Path, url: str
) -> None:
    command = ["build", str(beir_folder), "--sparse", "none", "--dense", "none", "-o", url]
    run = CliRunner().invoke(application(), command)
    assert run.exit_code == 0, run.output
    assert f"{url}: " in run.stdout
    assert f"{tmp_path}/cache/builds/" in run.stdout.replace("\n", "")
    again = CliRunner().invoke(application(), command)
    assert isinstance(again.exception, OutputExistsError)


def test_what_cut_copies_left_goes_and_what_others_put_there_stays(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, encoders = MemoryFileSystem(), {"bm25": Bm25Parameters()}
    system.pipe_file(f"{url}/TRIAL", b"mine")
    real = transfer._put

    def cut(system: Any, path: Path, place: str) -> None:
        real(system, path, place)
        raise ConnectionError("the network is gone")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(transfer, "_put", cut)
            with pytest.raises(TransferError):
                hybrid.build_index(DOCUMENTS, url, encoders=encoders)
    assert system.ls(f"{url}/generations")
    hybrid.build_index(DOCUMENTS, url, encoders=encoders)
    assert len(system.ls(f"{url}/generations")) == 1
    assert system.cat_file(f"{url}/TRIAL") == b"mine"


def test_an_address_that_is_taken_meanwhile_costs_no_work(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Mock(side_effect=OutputExistsError("it holds another"))
    monkeypatch.setattr(transfer, "_replaced", taken)
    with pytest.raises(
        OutputExistsError, match=r"holds another\. \S*builds/\w+ keeps what was enc"
    ):
        hybrid.build_index(DOCUMENTS, url, encoders={"bm25": Bm25Parameters()})
    assert len(kept(tmp_path)) == 1
