"""Store: the protocol of what an engine gives of one generation; `EnginePlace` makes the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus import Document
from hybrid.index.documents.filter_nodes import Filter
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Ints


class Candidates(NamedTuple):
    """Rows of a branch near a query, best first by the engine's own scores, ties by number.

    Attributes:
        rows: int32 (n,).
        near: float64 (n,), the engine's scores.
        vectors: of the rows, CSR or float32 (n, width).
    """

    rows: Ints
    near: NDArray[np.float64]
    vectors: Any


class Store(Protocol):
    """One generation of an index in an engine. Documents and rows have the numbers of the folder.

    Attributes:
        name: of the generation.
        content: the description that `hybrid.engines.content.described` made at the push.
        most: rows that `nearest` returns at most.
    """

    name: str
    most: int
    content: Mapping[str, Any]

    def is_there(self) -> bool: ...

    def file(self, name: str) -> bytes:
        """Return a file that was pushed with the index."""
        ...

    def documents(self, doc_nums: Sequence[int]) -> dict[int, Document]: ...

    def ids(self, doc_nums: Sequence[int]) -> dict[int, str]: ...

    def numbers(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of each of these documents that is there."""
        ...

    def select(self, parsed: Filter) -> Subset:
        """Return the documents that a filter, whose fields and values fit, lets through."""
        ...

    def nearest(self, branch: str, query: Any, count: int, subset: Subset | None) -> Candidates: ...

    def vectors(self, branch: str, rows: Ints) -> Any:
        """Return stored vectors in the order of the rows, CSR or float32 (n, width)."""
        ...

    def close(self) -> None: ...


class Selected(Subset):
    """The documents that an engine selects; their numbers are read where something needs them.

    Args:
        doc_count: documents of the index.
        condition: the filter in the language of the engine.
        read: returns the numbers, ascending.
    """

    def __init__(self, doc_count: int, condition: Any, read: Callable[[], Ints]) -> None:
        super().__init__(doc_count, None, None)
        self.condition = condition
        self._read = read

    @property
    def doc_nums(self) -> Ints:
        """The doc_nums, ascending, int32."""
        if self._given is None:
            self._given = self._read()
        return self._given

    def __len__(self) -> int:
        return len(self.doc_nums)
