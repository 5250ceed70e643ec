"""PostgreSQL alone: connections that break, pushes that are cut, and the command line."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

import hybrid
from hybrid import Document
from hybrid.cli import application
from hybrid.encoders import Bm25Parameters
from hybrid.engines.postgres import connections, push, store
from hybrid.errors import IndexFormatError, IndexLockedError, TransferError, UsageError
from hybrid.serve.app import make_app
from hybrid.serve.options import ServeOptions
from tests.conformance.conftest import ENCODERS, NUMBERS, document, opened
from tests.conformance.servers import Server
from tests.conformance.test_places import FILTERS, hits

psycopg = pytest.importorskip("psycopg", reason="`make test-engines` installs it")
pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]


@pytest.fixture
def address(postgres: Server) -> str:
    return f"{postgres.url}#q{next(NUMBERS)}"


def test_a_connection_that_breaks_is_made_anew(
    postgres: Server, address: str, made: dict[str, Path]
) -> None:
    hybrid.push_index(made["documents"], address)
    with opened(made["documents"]) as folder, opened(address) as there:
        expected = hits(folder, "w1 w2")
        for _ in range(3):
            assert hits(there, "w1 w2") == expected
            with psycopg.connect(postgres.url, autocommit=True) as other:
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where pid <> pg_backend_pid() and backend_type = 'client backend'"
                )
        assert hits(there, "w1 w2") == expected


def test_a_server_that_is_away_is_an_error_and_may_come_back(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.5)
    server = Server().make()
    try:
        hybrid.push_index(made["documents"], server.url)
        with opened(server.url) as there:
            expected = hits(there, "w1 w2")
            server.kill()
            with pytest.raises(TransferError, match="cannot be read or written"):
                there.search("w1 w2")
            server.start()
            assert hits(there, "w1 w2") == expected
    finally:
        server.close()


def test_hnsw_is_a_choice_whose_recall_is_told(
    postgres: Server, more_servers: list[Server], made: dict[str, Path]
) -> None:
    databases = f"{postgres.url};{more_servers[0].url}"
    exact, chosen = (f"{databases}#h{next(NUMBERS)}" for _ in range(2))
    hybrid.push_index(made["documents"], exact)
    result = CliRunner().invoke(
        application(), ["push", str(made["documents"]), chosen, "--hnsw"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    with opened(exact) as plain:
        assert "hnsw_recall_at_10" not in plain.info().branches["dense"]["report"]
        wanted = hits(plain, "w1 w2", fusion="dense")
        recall = {}
        for how in ("on", "off"):  # a scan in order, and by the graph
            with_it = ";".join(
                f"{each}?options=-c%20enable_seqscan%3D{how}%20-c%20enable_sort%3D{how}"
                for each in databases.split(";")
            )
            with opened(f"{with_it}#{chosen.partition('#')[2]}") as there:
                recall[how] = there.info().branches["dense"]["report"]["hnsw_recall_at_10"]
                assert len(set(hits(there, "w1 w2", fusion="dense")) & set(wanted)) >= 9
                assert hits(there, "w1 w2", fusion="sparse") == hits(
                    plain, "w1 w2", fusion="sparse"
                )
    assert 0.9 <= recall["on"] == recall["off"] <= 1
    sql = "select sum(idx_scan) from pg_stat_user_indexes where indexrelname = 'dense_hnsw'"
    with psycopg.connect(postgres.url, autocommit=True) as asked:
        while not asked.execute(sql).fetchone()[0]:  # a server counts after a connection ends
            time.sleep(0.1)
    assert any("hnsw_recall_at_10" in line for line in opened(chosen).info().lines())


def test_hnsw_leaves_no_list_short_and_filters_are_exact(
    address: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.HNSW, "hnsw.ef_search", "5")
    few = "-c%20enable_seqscan=off%20-c%20enable_sort=off%20-c%20hnsw.max_scan_tuples=5"
    hybrid.push_index(made["documents"], address, hnsw=True)
    there = address.replace("#", f"?options={few.replace('=', '%3D')}#")
    with opened(made["documents"]) as folder, opened(there) as index:
        for text in (*FILTERS, None):
            wanted = hits(folder, "w1 w2", k=100, fusion="dense", filter=text)
            assert hits(index, "w1 w2", k=100, fusion="dense", filter=text) == wanted


def test_an_emptied_index_is_pushed_with_hnsw(address: str, tmp_path: Path) -> None:
    encoders = {"dense": ENCODERS["dense"]}
    hybrid.build_index(
        [document(number) for number in range(2)], tmp_path / "idx", encoders=encoders
    )
    for left in (1, 0):
        with hybrid.open(tmp_path / "idx", encoders=encoders) as index:
            index.delete([document(left).doc_id])
        hybrid.push_index(tmp_path / "idx", address, hnsw=True)
        with hybrid.open(address, encoders=encoders) as there:
            assert len(there.search("w1 w2")) == left


def test_the_last_push_says_how_dense_branches_are_searched(
    address: str, made: dict[str, Path]
) -> None:
    for hnsw in (False, True, False):
        hybrid.push_index(made["documents"], address, hnsw=hnsw)
        with opened(address) as there:
            assert ("hnsw_recall_at_10" in there.info().branches["dense"]["report"]) == hnsw
        found = store.open_store(address)
        for name, value in connections.HNSW.items():  # older versions of pgvector refuse one
            asked = found._read("select current_setting(%s, true)", [name])
            assert (asked == [(value,)]) == hnsw
        found.close()


def test_hnsw_where_it_cannot_be(made: dict[str, Path], tmp_path: Path) -> None:
    for url in (str(tmp_path / "copy"), "milvus://host", "memory://far"):
        with pytest.raises(UsageError, match="for PostgreSQL alone"):
            hybrid.push_index(made["documents"], url, hnsw=True)


@pytest.mark.timeout(60)
def test_a_server_that_hangs_is_an_error_and_may_go_on(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE", 0.5)
    monkeypatch.setattr(connections, "PATIENCE", 1.0)
    server = Server().make()
    try:
        hybrid.push_index(made["documents"], server.url)
        with opened(server.url) as there:
            expected = hits(there, "w1 w2")
            try:
                server.signal_all(signal.SIGSTOP)
                with pytest.raises(TransferError, match="timeout"):
                    there.search("w1 w2")
            finally:
                server.signal_all(signal.SIGCONT)
            assert hits(there, "w1 w2") == expected
    finally:
        server.close()


def test_a_statement_that_takes_long_is_waited_for(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SILENCE", 0.2)
    monkeypatch.setattr(connections, "PATIENCE", 0.5)
    slow = connections.Connections(postgres.url)
    assert slow.read("select 1 from pg_sleep(1.5)") == [(1,)]
    slow.close()


def test_a_push_that_is_cut_goes_on_and_nothing_is_double(
    postgres: Server, address: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("hybrid.engines.content", "hybrid.engines.postgres.push"):
        monkeypatch.setattr(f"{module}.SHARD", 40, raising=False)
    copied: list[int] = []
    copy_documents = push._copy_documents

    def cut(connection: Any, schema: str, index: Any, documents: Any) -> None:
        copied.append(int(documents[0]))
        copy_documents(connection, schema, index, documents)
        if len(copied) == 3:
            with psycopg.connect(postgres.url, autocommit=True) as other:
                pid = connection.info.backend_pid
                other.execute("select pg_terminate_backend(%s)", [pid])

    monkeypatch.setattr(push, "_copy_documents", cut)
    with pytest.raises(TransferError):
        hybrid.push_index(made["documents"], address)
    with pytest.raises(IndexFormatError, match="holds no index"):
        opened(address)
    hybrid.push_index(made["documents"], address)
    assert copied == [0, 40, 80, 80, 120]
    with opened(made["documents"]) as folder, opened(address) as there:
        assert hits(there, "w1 w2", k=200) == hits(folder, "w1 w2", k=200)
        name = there.view().contents.generation.name
    with psycopg.connect(postgres.url) as other:
        for table in ("documents", "sparse", "dense", "bm25"):
            assert other.execute(f'select count(*) from "{name}"."{table}"').fetchone() == (159,)


def test_the_same_index_is_pushed_once(
    postgres: Server, address: str, made: dict[str, Path]
) -> None:
    for _ in range(2):
        hybrid.push_index(made["documents"], address)
    with opened(address) as there:
        assert there.view().contents.generation.name.endswith("_000001")


def test_a_server_of_a_test_that_does_not_start_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    run = server.run

    def failing(program: str, *arguments: Any) -> None:
        if program == "psql":
            raise KeyboardInterrupt
        run(program, *arguments)

    monkeypatch.setattr(server, "run", failing)
    with pytest.raises(KeyboardInterrupt):
        server.make()
    assert server._process is not None
    assert server._process.poll() is not None
    assert not server.folder.exists()


def test_two_pushes_at_once_are_refused(
    postgres: Server, address: str, made: dict[str, Path]
) -> None:
    name = address.partition("#")[2]
    with psycopg.connect(postgres.url) as other:
        other.execute("select pg_advisory_lock(hashtext(%s))", [name])
        with pytest.raises(IndexLockedError, match="wait for its end"):
            hybrid.push_index(made["documents"], address)


def test_a_sparse_branch_too_large_is_refused(
    address: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SPARSE_ROWS", 158)
    with pytest.raises(UsageError, match="no inverted index"):
        hybrid.push_index(made["documents"], address)


@pytest.mark.parametrize("name", ["files", "shards"])
def test_a_branch_with_the_name_of_a_table_is_refused(
    address: str, tmp_path: Path, name: str
) -> None:
    encoders = {name: Bm25Parameters()}
    hybrid.build_index([Document("a", "alpha")], tmp_path / "idx", encoders=encoders)
    with pytest.raises(UsageError, match=f"a branch is called '{name}'"):
        hybrid.push_index(tmp_path / "idx", address)


def test_a_row_with_too_many_terms_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    texts = ["alpha", " ".join(f"zz{number}" for number in range(16_001))]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    hybrid.build_index(documents, tmp_path / "idx", encoders={"bm25": Bm25Parameters()})
    with pytest.raises(UsageError, match="16,001 terms"):
        hybrid.push_index(tmp_path / "idx", "postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("postgresql://tester@127.0.0.1:1/postgres", TransferError),
        ("postgresql://tester@127.0.0.1/postgres#Not a name", UsageError),
        ("postgresql://tester@127.0.0.1/postgres?nonsense=1", UsageError),
    ],
)
def test_addresses_that_cannot_be_are_refused(
    address: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    with pytest.raises(error):
        hybrid.open(address)


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    with pytest.raises(TransferError) as refused:
        hybrid.open("postgresql://tester:secret@127.0.0.1:1/postgres?password=secret")
    assert "secret" not in str(refused.value)


def test_commands_take_an_address(address: str, beir_folder: Path) -> None:
    folder = str(beir_folder.with_name("tiny"))
    hybrid.build_index(beir_folder, folder, encoders={"bm25": Bm25Parameters()})

    def printed(*arguments: str) -> str:
        done = CliRunner().invoke(application(arguments), arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    address = address.replace("tester@", "tester:secret@")
    assert "secret" not in printed("push", folder, address)
    for command in ("search", "explain"):
        shown = [printed(command, each, "merge lists", "--json") for each in (folder, address)]
        assert shown[0] == shown[1]
    assert address.replace("secret", "***") in printed("info", address)
    with hybrid.open(address) as there:
        assert "secret" not in repr(there)
    assert "nDCG" in printed("evaluate", address, str(beir_folder))


def test_a_served_index_is_opened_anew_and_says_nothing_of_its_server(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    server = Server().make()
    try:
        address = server.url.replace("tester@", "tester:secret@")
        hybrid.push_index(made["passages"], address)
        with opened(address) as there:
            client = TestClient(make_app(there, ServeOptions(keys={})), base_url="http://127.0.0.1")
            assert client.get("/index").json()["directory"] == "postgres"
            assert "127.0.0.1" not in client.get("/index").text
            for each in ("documents", "passages", "documents"):
                hybrid.push_index(made[each], address)
            asked = {"query": "w1 w2"}
            assert client.post("/search", json=asked).status_code == 200
            assert client.get("/documents/d0100").status_code == 200
            assert client.get("/health").json() == {"status": "ok"}
            server.kill()
            for answer in (client.post("/search", json=asked), client.get("/health")):
                assert answer.status_code == 503
                assert answer.json()["error"].startswith("the index cannot be read now")
            assert str(server.port) in caplog.text
            assert "secret" not in caplog.text
            server.start()
            assert client.get("/health").json() == {"status": "ok"}
            with psycopg.connect(server.url, autocommit=True) as other:
                for (schema,) in other.execute(
                    "select nspname from pg_namespace where nspname like 'hybrid%'"
                ).fetchall():
                    other.execute(f'drop schema "{schema}" cascade')
            answer = client.post("/search", json=asked)
            assert answer.status_code == 503
            assert answer.json()["error"].startswith("the index cannot be read now")
    finally:
        server.close()
