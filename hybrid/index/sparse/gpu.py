"""The same inverted index searched on a GPU: batches of queries as one sparse product.

Nothing else is stored: the rows are read from the index and held on the device as a torch CSR
matrix. The device's product sums in an order of its own, so it only finds candidates; their scores
and order come from the index, and with them the same bits as a search on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.index.documents.subset import Subset, SubsetLike
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.queries import checked
from hybrid.kernels import reference

BATCH = 64
MARGIN = 64
ROWS = 65_536


def available() -> bool:
    """Return whether this machine has a GPU that torch can use."""
    import torch

    return bool(torch.cuda.is_available())


class DeviceSearcher:
    """Answers ``search`` like the index that it was made from."""

    def __init__(self, index: InvertedIndex, device: str = "cuda") -> None:
        import torch

        if device.startswith("cuda") and not available():
            raise UsageError(
                "The device is 'cuda', but torch sees no GPU here. Search the index itself: it "
                "returns the same hits."
            )
        self.index = index
        self.device = device
        parts = []
        for first in range(0, index.doc_count, ROWS):
            last = min(first + ROWS, index.doc_count)
            rows = index.vectors(np.arange(first, last, dtype=np.int32))
            parts.append(
                torch.sparse_csr_tensor(
                    torch.from_numpy(rows.indptr.astype(np.int64)),
                    torch.from_numpy(rows.indices.astype(np.int64)),
                    torch.from_numpy(rows.data),
                    size=rows.shape,
                    device=device,
                )
            )
        self._parts = parts

    def search(
        self, queries: csr_matrix, k: int, *, subset: SubsetLike | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return (doc_nums, scores), both (queries, k), equal to the index's to the bit.

        Args:
            queries: CSR float32 (queries, vocabulary_size), weights >= 0.
            k: at least 1.
            subset: search only these doc_nums, ascending int32, or a mask.

        Raises:
            UsageError: as the index does.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        queries = checked(queries, self.index.vocabulary_size, "query")
        chosen = None if subset is None else Subset.of(subset, self.index.doc_count).doc_nums
        count = queries.shape[0]
        nums = np.full((count, k), -1, dtype=np.int32)
        values = np.full((count, k), -np.inf, dtype=np.float32)
        if not (self.index.doc_count if chosen is None else len(chosen)):
            return nums, values
        for first in range(0, count, BATCH):
            rows = queries[first : first + BATCH]
            best, scores = self._batch(rows, k, chosen)
            nums[first : first + BATCH, : best.shape[1]] = best
            values[first : first + BATCH, : best.shape[1]] = scores
        return nums, values

    def _batch(
        self, queries: csr_matrix, k: int, subset: NDArray[np.int32] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        approximate = self._scores(queries, subset)
        size = approximate.shape[0]
        nums = np.full((queries.shape[0], min(k, size)), -1, dtype=np.int32)
        scores = np.full(nums.shape, -np.inf, dtype=np.float32)
        # Both sums of m products are within m + 1 roundings of the true score.
        slack = 1 + (int(np.diff(queries.indptr).max(initial=0)) + 4) * 2.0**-21
        pending = np.arange(queries.shape[0])
        wanted = min(k + MARGIN, size)
        while len(pending):
            best, places = approximate[:, pending].topk(wanted, dim=0)
            candidates = places.T.cpu().numpy().astype(np.int32)
            worst = best[-1].cpu().numpy()
            named = candidates if subset is None else subset[candidates]
            exact = self.index.score(queries[pending], named)
            left = []
            for position, row in enumerate(pending):
                hits, hit_scores = reference.top_k(exact[position], named[position], k)
                full = len(hits) == min(k, size)
                open_ended = wanted < size and worst[position] > 0
                if open_ended and (not full or worst[position] * slack >= hit_scores[-1]):
                    left.append(row)  # a document outside of the candidates may reach the k-th
                    continue
                nums[row, : len(hits)] = hits
                scores[row, : len(hits)] = hit_scores
            pending = np.array(left, dtype=np.int64)
            wanted = min(wanted * 4, size)
        return nums, scores

    def _scores(self, queries: csr_matrix, subset: NDArray[np.int32] | None) -> Any:
        """Return the scores as the device sums them, (documents, queries)."""
        import torch

        dense = torch.from_numpy(np.ascontiguousarray(queries.toarray().T)).to(self.device)
        scores = torch.cat([part @ dense for part in self._parts]) if self._parts else dense[:0]
        if subset is not None:
            scores = scores[torch.from_numpy(subset.astype(np.int64)).to(self.device)]
        return scores
