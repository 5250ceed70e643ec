"""Several PostgreSQL servers: shards, standbys, and servers that are killed."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import hybrid
from hybrid.engines.postgres import connections, push
from hybrid.errors import IndexFormatError, TransferError
from tests.conformance.conftest import ENCODERS, NUMBERS, document, opened
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
            with ThreadPoolExecutor(2) as threads:
                asked = [threads.submit(ask) for _ in range(2)]
                try:
                    time.sleep(SECONDS / 3)
                    primary.kill()
                    before = len(gaps)
                    time.sleep(SECONDS)
                finally:
                    stop = True
            for each in asked:
                each.result()
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


def test_an_address_that_names_a_part_twice_is_refused(
    postgres: Server, other: Server, made: dict[str, Path]
) -> None:
    name, standby = f"s{next(NUMBERS)}", Server()
    hybrid.push_index(made["documents"], f"{postgres.url};{other.url}#{name}")
    try:
        standby.standby_of(other)
        for second in (other, standby):
            address = f"{other.url};{second.url}#{name}"
            with pytest.raises(IndexFormatError, match="the same part of the documents"):
                opened(address)
            with pytest.raises(IndexFormatError, match="the same part of the documents"):
                hybrid.open(address, encoders=ENCODERS, partial=True)
    finally:
        standby.close()
    with opened(f"{other.url};{postgres.url}#{name}") as there:
        assert len(there.search("w1 w2", k=200, fusion="dense")) == len(there)


def test_pushes_that_are_cut_while_servers_switch_leave_a_generation(
    postgres: Server, other: Server, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{postgres.url};{other.url}#s{next(NUMBERS)}"
    hybrid.push_index(made["documents"], address)
    switch, switched = push._switch, []

    def cut(*given: Any) -> None:
        switched.append(given)
        if len(switched) % 2 == 0:
            raise KeyboardInterrupt
        switch(*given)

    with opened(made["documents"]) as folder, opened(address) as there:
        expected = hits(folder, "w1 w2")
        for number in (1, 2):
            changed = made["documents"].with_name(f"cut{number}")
            hybrid.snapshot_index(made["documents"], changed)
            with opened(changed) as index:
                index.delete([document(100 + number).doc_id])
            monkeypatch.setattr(push, "_switch", cut)
            with pytest.raises(KeyboardInterrupt):
                hybrid.push_index(changed, address)
            with opened(address) as again:
                assert hits(again, "w1 w2") == hits(there, "w1 w2") == expected
        monkeypatch.setattr(push, "_switch", switch)
        hybrid.push_index(changed, address)
        assert hits(there, "w1 w2") == expected
        with opened(changed) as index, opened(address) as again:
            assert hits(again, "w1 w2", k=200) == hits(index, "w1 w2", k=200)


def test_a_pickled_index_opens_its_own_generation_or_none(
    postgres: Server, other: Server, made: dict[str, Path]
) -> None:
    name = f"s{next(NUMBERS)}"
    hybrid.push_index(made["passages"], f"{other.url}#{name}")  # its numbers are one ahead
    address = f"{postgres.url};{other.url}#{name}"
    hybrid.push_index(made["documents"], address)
    with opened(address) as there:
        data = pickle.dumps(there)
        expected = hits(there, "w1 w2")
        with pickle.loads(data) as again:  # noqa: S301
            assert hits(again, "w1 w2") == expected
        changed = made["documents"].with_name("pickled")
        hybrid.snapshot_index(made["documents"], changed)
        with opened(changed) as index:
            index.delete([document(100).doc_id])
        for each in (made["passages"], changed):
            hybrid.push_index(each, address)
        with pytest.raises(IndexFormatError, match="is gone"):
            pickle.loads(data)  # noqa: S301
