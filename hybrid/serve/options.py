"""ServeOptions: where an index is served, to whom, and within which limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hybrid.errors import UsageError
from hybrid.machine.options import option

KEYS = "HYBRID_API_KEYS"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class ServeOptions:
    """How an index is served.

    Attributes:
        keys: API key to the filter that each of its requests is held to; "" for none. Read from
            the variable ``HYBRID_API_KEYS``: one ``key`` or ``key=filter`` a line.
    """

    host: str = option("127.0.0.1", "address to listen on; any but loopback needs an API key")
    port: int = option(8000, "port to listen on; 0 picks a free one")
    most_characters: int = option(2_000, "characters of a query")
    most_hits: int = option(1_000, "hits of a search")
    most_bytes: int = option(4_000_000, "bytes of a request")
    concurrency: int = option(8, "requests at work at once; more are answered 429")
    timeout: float = option(30.0, "seconds until a request is answered 504")
    cors: str = option("", "origins whose pages may call the API, with commas; default: none")
    hosts: str = option("", "host names that requests may name, with commas; loopback always may")
    rerank: str | None = option(
        None, "cross-encoder that requests may ask for, by no name of theirs"
    )
    writable: bool = option(False, "let requests add, update and delete documents")
    judge: Path | None = option(None, "folder for queries.tsv and qrels of judgments on the page")
    log: Path | None = option(None, "append one line for each search to this file")
    log_text: bool = option(False, "log query texts, too; default: their hashes")
    keys: Mapping[str, str] = field(
        default_factory=lambda: keys_of(os.environ.get(KEYS, "")), repr=False
    )

    def __post_init__(self) -> None:
        for name in ("most_characters", "most_hits", "most_bytes", "concurrency"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not self.timeout > 0:
            raise UsageError(f"timeout is {self.timeout}; give more than 0 seconds")
        if not 0 <= self.port < 65536:
            raise UsageError(f"port is {self.port}; give 0 to 65535")
        if self.host not in LOOPBACK and not self.keys:
            raise UsageError(
                f"{self.host} can be reached from other machines; set {KEYS} to one key a line, or "
                "listen on 127.0.0.1"
            )

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Host names, without port, that a request may name; a page of another site names its own.

        A browser sends requests of any page to loopback; the name in them tells whose page it is.
        """
        return LOOPBACK | _names(f"{self.host},{self.hosts}".lower())

    @property
    def origins(self) -> frozenset[str]:
        """Origins of other sites that may call the API from a browser."""
        return _names(self.cors)


def keys_of(text: str) -> dict[str, str]:
    """Return key to its filter.

    Raises:
        UsageError: a line without a key.

    >>> keys_of("a\\nb=year >= 2020")
    {'a': '', 'b': 'year >= 2020'}
    """
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    keys = {key.strip(): filter.strip() for key, _, filter in pairs}
    if "" in keys:
        raise UsageError(f"a line of {KEYS} has no key; give key or key=filter")
    return keys


def _names(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(",") if each.strip())
