"""Several PostgreSQL servers: shards, standbys, and servers that are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

import hybrid
from hybrid.engines.postgres import connections
from hybrid.errors import IndexFormatError, TransferError
from tests.conformance.conftest import ENCODERS, NUMBERS, opened
from tests.conformance.servers import Server
from tests.conformance.test_places import QUERIES, hits

pytestmark = [pytest.mark.engines, pytest.mark.timeout(120)]
SECONDS = 3.0


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server().make()
    yield server
    server.close()


def test_a_standby_answers_when_the_primary_is_killed(made: dict[str, Path]) -> None:
    primary, standby = Server().make(), Server()
    try:
        hybrid.push_index(made["documents"], primary.url)
        standby.standby_of(primary)
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        expected = [hits(opened(made["documents"]), query) for query in QUERIES]
        wrong, gaps, stop = [], [0.0], False

        def ask() -> None:
            last = time.monotonic()
            while not stop:
                for query, right in zip(QUERIES, expected, strict=True):
                    if hits(there, query) != right:
                        wrong.append(query)
                    gaps.append(time.monotonic() - last)
                    last = time.monotonic()

        with opened(f"postgresql://tester@{hosts}/postgres") as there:
            assert [hits(there, query) for query in QUERIES] == expected
            threads = [Thread(target=ask) for _ in range(2)]
            for thread in threads:
                thread.start()
            time.sleep(SECONDS / 3)
            primary.kill()
            before = len(gaps)
            time.sleep(SECONDS)
            stop = True
            for thread in threads:
                thread.join(60)
            assert not wrong
            assert len(gaps) > before
            assert [hits(there, query) for query in QUERIES] == expected
    finally:
        primary.close()
        standby.close()


def test_a_shard_that_is_down_is_an_error_or_is_named(
    postgres: Server, other: Server, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.5)
    address = f"{postgres.url};{other.url}#s{next(NUMBERS)}"
    hybrid.push_index(made["documents"], address)
    with opened(made["documents"]) as folder, opened(address) as there:
        whole = hits(folder, "w1 w2", k=200, fusion="dense")
        assert hits(there, "w1 w2", k=200, fusion="dense") == whole
        other.kill()
        with pytest.raises(TransferError, match=str(other.port)):
            there.search("w1 w2")
    with pytest.raises(TransferError, match=str(other.port)):
        opened(address)
    with pytest.warns(RuntimeWarning, match=f"documents are missing: .*{other.port}"):
        rest = hybrid.open(address, encoders=ENCODERS, partial=True)
    with rest:
        found = hits(rest, "w1 w2", k=200, fusion="dense")
        assert found == [hit for hit in whole if hit in found]
        assert 0 < len(found) < len(whole)


def test_a_push_to_a_server_that_is_away_goes_on_and_readers_see_one_generation(
    postgres: Server, other: Server, made: dict[str, Path]
) -> None:
    address = f"{postgres.url};{other.url}#s{next(NUMBERS)}"
    hybrid.push_index(made["passages"], address)
    other.kill()
    with pytest.raises(TransferError):
        hybrid.push_index(made["documents"], address)
    other.start()
    with opened(made["passages"]) as folder, opened(address) as there:
        assert hits(there, "w1 w2") == hits(folder, "w1 w2")
        hybrid.push_index(made["documents"], address)
        assert hits(there, "w1 w2") == hits(folder, "w1 w2")
        there.reopen()
        with opened(made["documents"]) as changed:
            assert hits(there, "w1 w2", k=200) == hits(changed, "w1 w2", k=200)


def test_an_address_with_too_few_servers_is_refused(
    postgres: Server, other: Server, made: dict[str, Path]
) -> None:
    name = f"s{next(NUMBERS)}"
    hybrid.push_index(made["documents"], f"{postgres.url};{other.url}#{name}")
    with pytest.raises(IndexFormatError, match="pushed to 2 servers"):
        opened(f"{other.url}#{name}")
