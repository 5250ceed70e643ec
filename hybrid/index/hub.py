"""Hub repositories as places for an index: ``hf://owner/name``, ``hf://datasets/owner/name``.

A push is one commit, so a repository never holds half an index; a pull first settles which commit
it reads, so that its files belong together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.errors import OutputExistsError, UsageError
from hybrid.index.storage.generation import CURRENT
from hybrid.machine.hub import make_repository, required_hub

SCHEME = "hf://"
_URL = re.compile(
    r"hf://(?:(?P<kind>datasets|models)/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?"
    r"(?P<folder>(?:/[\w.-]+)*)/?"
)


@dataclass(frozen=True)
class Place:
    """A folder in a repository; ``revision`` None is its main branch."""

    kind: str
    repo: str
    revision: str | None
    folder: str

    def path(self, name: str) -> str:
        """Return the path of a file in the repository."""
        return f"{self.folder}/{name}" if self.folder else name


def is_hub(url: str) -> bool:
    """Return whether ``url`` names a hub repository."""
    return url.startswith(SCHEME)


def parse(url: str) -> Place:
    """Return the place that ``url`` names.

    Raises:
        UsageError: it names none.

    >>> parse("hf://datasets/me/my-index@v2/small")
    Place(kind='dataset', repo='me/my-index', revision='v2', folder='small')
    """
    match = _URL.fullmatch(url)
    if match is None or {".", ".."} & set(match["folder"].split("/")):
        raise UsageError(
            f"{url!r} is no hub repository; give hf://owner/name, hf://datasets/owner/name, or "
            "either with @revision and a folder after it"
        )
    kind = "dataset" if match["kind"] == "datasets" else "model"
    return Place(kind, match["repo"], match["revision"], match["folder"].strip("/"))


def push(url: str, files: Mapping[str, Path], last: Mapping[str, bytes]) -> None:
    """Put files into a repository by one commit, and make it, private, if it is not there.

    Raises:
        OutputExistsError: there is an index already.
    """
    hub, place = required_hub(), parse(url)
    make_repository(place.repo, place.kind)
    refuse_taken(url)
    api, at = hub.HfApi(), {"repo_id": place.repo, "repo_type": place.kind}
    parts: dict[str, Any] = {name: str(path) for name, path in files.items()} | dict(last)
    api.create_commit(
        operations=[
            hub.CommitOperationAdd(path_in_repo=place.path(name), path_or_fileobj=part)
            for name, part in parts.items()
        ],
        commit_message="Add an index",
        revision=place.revision,
        **at,
    )


def refuse_taken(url: str) -> None:
    """Do nothing if no index is at ``url``; maybe there is no repository yet.

    Raises:
        OutputExistsError: one is.
    """
    api, place = required_hub().HfApi(), parse(url)
    at = {"repo_id": place.repo, "repo_type": place.kind, "revision": place.revision}
    if api.file_exists(filename=place.path(CURRENT), **at):
        raise OutputExistsError(f"{url} holds an index already; remove it or give another folder")


def pinned(url: str) -> str:
    """Return the URL with the commit that its revision stands for now."""
    place = parse(url)
    api, at = required_hub().HfApi(), {"repo_type": place.kind, "revision": place.revision}
    commit = api.repo_info(place.repo, **at).sha
    kind = "datasets/" if place.kind == "dataset" else ""
    return f"{SCHEME}{kind}{place.repo}@{commit}/{place.folder}".rstrip("/")
