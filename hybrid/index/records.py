"""Records of branches in the manifest, and the protocol of a branch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.index.documents.subset import SubsetLike
from hybrid.machine.cache import cache_key

SEGMENTS = "segments"
DOCUMENTS = "documents"
NUMBERING = "numbering"
BranchKind = Literal["sparse", "dense"]


class Branch(Protocol):
    """The protocol of a branch; its queries are CSR if sparse, float32 if dense."""

    @property
    def doc_count(self) -> int: ...

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: SubsetLike | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...

    def score(self, queries: Any, doc_nums: NDArray[np.int32]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class BranchRecord:
    """The manifest's record of one branch.

    Attributes:
        kind: how its vectors are held.
        encoder: how its query encoder is loaded: a model name and its options.
        fingerprint: what identifies that encoder.
        minimum: the least score that it can give.
        report: what was measured when it was built.
    """

    kind: BranchKind
    encoder: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    minimum: float
    report: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


def record_of(
    records: Mapping[str, BranchRecord], name: str, kind: BranchKind | None = None
) -> BranchRecord:
    """Return the record of a branch, of a kind where one is wanted.

    Raises:
        UsageError: there is no such branch.
    """
    if name not in records:
        raise UsageError(f"the index has no branch {name!r}; it has {', '.join(records)}")
    if kind is not None and records[name].kind != kind:
        those = [each for each, record in records.items() if record.kind == kind]
        raise UsageError(f"branch {name!r} is not {kind}; these are: {', '.join(those) or 'none'}")
    return records[name]


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a branch with shares as numbers, which records have as text.

    >>> figures({"terms_a_query": 3.5, "empty_documents": "12.5%"})
    {'terms_a_query': 3.5, 'empty_documents': 0.125}
    """
    return {
        name: float(value[:-1]) / 100 if isinstance(value, str) and value.endswith("%") else value
        for name, value in report.items()
    }


STATISTICS = ("documents", "terms", "vocabulary_size", "statistics")
"""Of BM25's fingerprint: these change with the documents, not with the model."""


def model_keys(records: Mapping[str, BranchRecord]) -> dict[str, str]:
    """Return branch to a key of its model, which stays as documents come and go."""
    return {
        name: cache_key({k: v for k, v in record.fingerprint.items() if k not in STATISTICS})
        for name, record in records.items()
    }


def changed_models(
    domain: Mapping[str, Any], records: Mapping[str, BranchRecord]
) -> tuple[str, ...]:
    """Return the branches that have another model now than when a stored domain was tuned.

    A branch that was not there is one of them. Empty for a domain that keeps no models, as those
    of older versions.
    """
    tuned = domain.get("report", {}).get("models")
    found = model_keys(records) if tuned else {}
    return tuple(name for name, key in found.items() if tuned.get(name) != key)


def check_names(records: Mapping[str, BranchRecord], segments: Mapping[str, int]) -> None:
    """Refuse names that would not do for the folders that writers make of them."""
    for name in segments:
        if not re.fullmatch(r"[0-9]{6,9}", name):
            raise ValueError(f"a segment is called {name!r:.80}")
    for name, record in records.items():
        if not (name.isascii() and name.isidentifier()) or name in (SEGMENTS, NUMBERING):
            raise ValueError(f"a branch is called {name!r:.80}")
        if record.kind not in ("sparse", "dense") or not isinstance(record.encoder["model"], str):
            raise ValueError(f"branch {name!r:.80} is of no known kind, or names no model")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def records_data(records: Mapping[str, BranchRecord]) -> dict[str, Any]:
    """Return branch to kind, model and figures, as JSON data."""
    return {
        name: {
            "kind": record.kind,
            "model": record.encoder["model"],
            "report": figures(record.report),
        }
        for name, record in records.items()
    }
