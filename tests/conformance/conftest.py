"""The places that an index is searched in: each is filled from a folder, and must answer as it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import pytest

import hybrid
from hybrid import BuildOptions, Document, Index
from hybrid.corpus import Passages
from hybrid.encoders import Bm25Parameters
from tests.conformance.servers import Server, s3_server
from tests.made_encoders import HashDense, HashSparse

ENCODERS = {"sparse": HashSparse(48), "dense": HashDense(12)}
WORDS = [f"w{number}" for number in range(120)]
ODD = ["d'1", 'a"b\\c', "#;%s", "\N{GRINNING FACE}", "é", "e\u0301", "Z" * 300, "\uffff", "$1{}"]
COUNT = 160
NUMBERS = count(1)
PLACES = ["folder", "bucket", "postgresql", "three servers", "milvus"]


def document(number: int, version: int = 0) -> Document:
    """Return a made document; every tenth has the text of another, so that scores are equal."""
    like = number - 9 if number % 10 == 9 else number
    rng = random.Random(f"{like} {version}")
    text = " ".join(rng.choices(WORDS, k=rng.randint(2, 30)))
    day = date(2020, 1, 1) + timedelta(days=number)
    fields: dict[str, object] = {
        "year": 2000 + number % 25,
        "lang": ["en", "de", "é"][number % 3],
        "score": [0.5, None, 1e-300, -2.0][number % 4],
        "tags": ["a", "b", "c"][number % 4 :],
        "years": [number % 7, number % 5],
        "ok": number % 3 == 0,
        "day": day,
        "at": datetime(day.year, day.month, day.day, number % 24, 30, tzinfo=timezone.utc),
    }
    if number % 6 == 0:
        fields = {name: value for name, value in fields.items() if name not in ("lang", "tags")}
    doc_id = ODD[number] if number < len(ODD) else f"d{number:04}"
    return Document(doc_id, text, title=f"title {like % 5}", fields=fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Place:
    """A kind of place, and what returns the address of a new one there."""

    name: str
    new: Callable[[], str]
    server: Server | None = None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    server = Server().make()
    yield server
    server.close()


@pytest.fixture(scope="session")
def more_servers() -> Iterator[list[Server]]:
    with ExitStack() as stack:
        servers = []
        for _ in range(2):
            servers.append(Server().make())
            stack.callback(servers[-1].close)
        yield servers


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The address of an empty bucket."""
    pytest.importorskip("moto.server", reason="`make test-engines` installs it")
    with s3_server():
        yield "s3://bucket"


@pytest.fixture(scope="session", autouse=True)
def small_shards() -> Iterator[None]:
    """Shards of a part of the documents, so that each server holds some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hybrid.engines.content.SHARD", 60)
        yield


@pytest.fixture(scope="session", params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Each place in turn."""
    folder = tmp_path_factory.mktemp("places")
    if request.param == "folder":
        return Place("folder", lambda: str(folder / str(next(NUMBERS))))
    if request.param == "milvus":
        return Place("milvus", lambda: f"milvus://{folder}/places.db#p{next(NUMBERS)}")
    if request.param == "bucket":
        url = request.getfixturevalue("bucket")
        return Place("bucket", lambda: f"{url}/{next(NUMBERS)}")
    server: Server = request.getfixturevalue("postgres")
    if request.param == "three servers":
        servers = [server, *request.getfixturevalue("more_servers")]
        databases = ";".join(each.url for each in servers)
        return Place("three servers", lambda: f"{databases}#p{next(NUMBERS)}")
    return Place(request.param, lambda: f"{server.url}#p{next(NUMBERS)}", server)


def push(folder: Path, address: str) -> None:
    """Bring the index of a folder to a place, in place of what is there."""
    hybrid.push_index(folder, address)


def opened(address: str | Path) -> Index:
    return hybrid.open(address, encoders=ENCODERS)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index of documents and one of passages, in folders; copy them before a change."""
    folder = tmp_path_factory.mktemp("made")
    encoders = {**ENCODERS, "bm25": Bm25Parameters()}
    documents = [document(number) for number in range(COUNT)]
    for name, options in {
        "documents": BuildOptions(),
        "passages": BuildOptions(passages=Passages(size=8, overlap=2)),
    }.items():
        hybrid.build_index(documents, folder / name, options, encoders=encoders)
        with opened(folder / name) as index:
            index.delete([document(number).doc_id for number in (3, 50, 120)])
            index.update([document(number, 1) for number in (60, 61, 201, 202)])
            index.store_domain("default", "cc(weights=(sparse:0.4, dense:0.6), norm=minmax)")
    return {name: folder / name for name in ("documents", "passages")}


@pytest.fixture(scope="session", params=["documents", "passages"])
def pair(
    request: pytest.FixtureRequest, place: Place, made: dict[str, Path]
) -> Iterator[tuple[Index, Index]]:
    """The index of a folder, and the same in a place."""
    address = place.new()
    push(made[request.param], address)
    with opened(made[request.param]) as folder, opened(address) as there:
        yield folder, there
