"""HybridIndex: one id space over the documents and every branch, read from one generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.indexes.documents import DocumentStore
from hybrid.indexes.inverted import InvertedIndex
from hybrid.indexes.store import Generation, open_generation
from hybrid.indexes.vector import VectorIndex

DOCUMENTS = "documents"
Kind = Literal["sparse", "dense"]


class Branch(Protocol):
    """What retrieval asks of a branch; its queries are CSR if sparse, float32 if dense."""

    @property
    def doc_count(self) -> int: ...

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: NDArray[np.int32] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...

    def score(self, queries: Any, doc_nums: NDArray[np.int32]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class BranchRecord:
    """What the manifest says about one branch.

    Attributes:
        kind: how its vectors are held.
        encoder: how its query encoder is loaded: a model name and its options.
        fingerprint: what identifies that encoder.
        minimum: the least score that it can give.
        report: what was measured when it was built.
    """

    kind: Kind
    encoder: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    minimum: float
    report: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON data."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


class HybridIndex:
    """The documents and branches of one generation; a branch is opened when it is first used."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        content = generation.content
        try:
            self.document_count = int(content["document_count"])
            self.source = str(content["source"])
            records = {name: BranchRecord(**r) for name, r in content["branches"].items()}
            self.records = dict(sorted(records.items(), key=lambda item: item[1].kind == "dense"))
            self.domains: dict[str, Any] = dict(content.get("domains", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptIndexError(
                f"the manifest of {generation.directory} lacks what an index needs: {error!r}; "
                "build the index again"
            ) from error
        self._opened: dict[str, Branch] = {}

    @classmethod
    def open(cls, directory: str | Path) -> HybridIndex:
        """Return the index in ``directory``, memory-mapped.

        Raises:
            IndexFormatError: no index there, or one of another format version.
            CorruptIndexError: a file is damaged.
        """
        return cls(open_generation(directory))

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches, sparse ones first."""
        return tuple(self.records)

    @cached_property
    def documents(self) -> DocumentStore:
        """The stored documents, by doc_num."""
        store = DocumentStore.open(self.generation.folder(DOCUMENTS))
        self._check_count("documents", len(store))
        return store

    @property
    def doc_ids(self) -> Sequence[str]:
        """doc_num to doc_id, descending."""
        return self.documents.doc_ids

    def record(self, name: str) -> BranchRecord:
        """Return what the manifest says about a branch.

        Raises:
            UsageError: the index has no such branch.
        """
        if name not in self.records:
            raise UsageError(f"the index has no branch {name!r}; it has {', '.join(self.branches)}")
        return self.records[name]

    def branch(self, name: str) -> Branch:
        """Return a branch, its files verified when it is first asked for.

        Raises:
            UsageError: the index has no such branch.
            CorruptIndexError: one of its files is damaged.
        """
        record = self.record(name)
        if name not in self._opened:
            folder = self.generation.folder(f"{name}/index")
            opened: Branch = (
                InvertedIndex.open(folder) if record.kind == "sparse" else VectorIndex.open(folder)
            )
            self._check_count(name, opened.doc_count)
            self._opened[name] = opened
        return self._opened[name]

    def sparse(self, name: str) -> InvertedIndex:
        """Return a sparse branch.

        Raises:
            UsageError: the branch is absent or dense.
        """
        branch = self.branch(name)
        if not isinstance(branch, InvertedIndex):
            sparse = [name for name, record in self.records.items() if record.kind == "sparse"]
            raise UsageError(f"branch {name!r} is dense; sparse ones are: {', '.join(sparse)}")
        return branch

    def close(self) -> None:
        """Let go of the generation; arrays that are already mapped stay readable."""
        self.generation.close()

    def _check_count(self, part: str, found: int) -> None:
        if found != self.document_count:
            raise CorruptIndexError(
                f"{part} of {self.generation.directory} hold {found} documents, the manifest says "
                f"{self.document_count}; build the index again"
            )


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
