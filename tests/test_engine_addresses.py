"""Addresses of engines without a server: what is shown of them, and what is not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hybrid.engines.addresses import checked_address
from hybrid.engines.content import described, files_of
from hybrid.engines.place import EnginePlace
from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.hybrid import HybridIndex
from hybrid.machine.passwords import shown

SECRET = "secret"


class Hostile:
    """A store whose content was changed, and whose files are bytes of its own."""

    name = "p_000001"

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def file(self, name: str) -> bytes:
        return b"owned"


@pytest.fixture
def content(tiny_index: Path) -> dict[str, Any]:
    index = HybridIndex.open(tiny_index)
    try:
        return described(index, files_of(index))
    finally:
        index.close()


def test_a_pushed_description_is_read(content: dict[str, Any]) -> None:
    place = EnginePlace(Hostile(content))  # type: ignore[arg-type]
    assert set(place.branches) == set(content["branches"])
    assert {each.read_bytes() for each in place.generation.folder("bm25/encoder").iterdir()} == {
        b"owned"
    }


@pytest.mark.parametrize(
    "name", ["bm25/encoder/../../../x", "/etc/x", "bm25//x", "bm25/./x", "C:\\x", "a\0b", ""]
)
def test_a_file_that_would_be_written_elsewhere_is_refused(
    content: dict[str, Any], name: str
) -> None:
    content["files"].append(name)
    with pytest.raises(CorruptIndexError, match="a file is called"):
        EnginePlace(Hostile(content))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../x", 'a"; drop table x; --', "segments", ""])
def test_a_branch_that_no_build_makes_is_refused(content: dict[str, Any], name: str) -> None:
    content["branches"][name] = content["branches"]["bm25"]
    content["vectors"][name] = content["vectors"]["bm25"]
    with pytest.raises(CorruptIndexError, match="a branch is called"):
        EnginePlace(Hostile(content))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:secret@host/db",
        "postgresql://me:sec:secret@host/db#papers",
        "postgresql://me:secret@1@host:5432/db",
        "postgresql://me:se/secret@host/db",
        "postgresql://:secret@host/db",
        "postgresql://me:secret@one/db;postgresql://me:x;secret@two/db#papers",
        "postgresql://me@host/db?password=secret&sslpassword=secret",
        "milvus://me:secret@host:19530#papers",
        "sftp://me:secret@host/folder",
    ],
)
def test_no_part_of_a_password_is_shown(address: str) -> None:
    assert SECRET not in str(shown(address))
    assert "host" in str(shown(address)) or "two" in str(shown(address))


def test_addresses_without_passwords_are_shown_as_they_are() -> None:
    for address in ("postgresql://me@one:5432,two:5432/db#a", "my.idx", "hf://me/index@main"):
        assert shown(address) == address
    assert shown(Path("a:b@c")) == Path("a:b@c")


@pytest.mark.parametrize("password", ["a@secret", "a/secret", "a#secret", "secret%zz", "a;secret"])
def test_a_password_that_would_be_read_as_a_host_is_refused_and_not_told(password: str) -> None:
    with pytest.raises(UsageError, match="%40") as refused:
        checked_address(f"postgresql://me:{password}@host/db")
    assert SECRET not in str(refused.value)
    checked_address("postgresql://me:se:%40cret@host/db")


@pytest.mark.parametrize("name", ["p_000001", "p_000001_x", "_123456"])
def test_the_name_of_a_generation_is_no_name_of_an_index(name: str) -> None:
    for scheme in ("postgresql://me@host/db", "milvus://host"):
        with pytest.raises(UsageError, match="six digits"):
            checked_address(f"{scheme}#{name}")
    assert checked_address("milvus://host#p_1") == "milvus://host#p_1"
