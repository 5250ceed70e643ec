"""Passwords in the addresses of servers and in URLs, which no message may tell."""

from __future__ import annotations

import re
from pathlib import Path

from hybrid.errors import UsageError

_SERVERS = re.compile(r";(?=\w+://)")
_USERINFO = re.compile(r"(://[^/?#@:]*:)(.*)@", re.DOTALL)
_PASSWORD = re.compile(r"(?<=password=)[^&;#]*")


def shown(address: str | Path) -> str | Path:
    """Return an address without its passwords.

    >>> shown("postgresql://me:se:cret@one/db;postgresql://me@two/db?password=secret#papers")
    'postgresql://me:***@one/db;postgresql://me@two/db?password=***#papers'
    """
    if isinstance(address, Path):
        return address
    servers = (_USERINFO.sub(r"\1***@", each) for each in _SERVERS.split(address))
    return _PASSWORD.sub("***", ";".join(servers))


def check_password(address: str) -> None:
    """Do nothing if no password would be read as another part of the address, and so be told.

    Raises:
        UsageError: one would.
    """
    for each in _SERVERS.split(address):
        found = _USERINFO.search(each)
        if found and not re.fullmatch(r"(?:[^%@/#;]|%[0-9a-fA-F]{2})*", found[2]):
            raise UsageError(
                f"{shown(address)}: in a password write @ as %40, / as %2F, # as %23, ; as %3B and "
                "% as %25"
            )
