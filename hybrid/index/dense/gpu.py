"""Candidates of a dense search found on a device, by torch or by FAISS on a GPU.

Both keep the vectors on the device once they were sent, and both are as exact as `BruteForce` asks:
a product in float32, never in TF32, which keeps 11 bits of the factors.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np

from hybrid.errors import require
from hybrid.index.dense.brute_force import BruteForce
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Floats, Longs

PRODUCT = 2**28  # scores held on the device at once: one gigabyte
FAISS_MOST = 2048  # FAISS selects no more than this on a GPU
_ONE_AT_A_TIME = Lock()  # torch's TF32 switch is the process's, FAISS's resources are not shared


class TorchBruteForce:
    """One torch matrix product on a device.

    Raises:
        MissingPackageError: torch is not installed.
    """

    def __init__(self, device: str) -> None:
        self._torch = require("torch", extra="cpu", purpose="dense search by torch")
        self._device = device
        self._sent: tuple[Floats, Any] | None = None

    def on_cpu(self, queries: int) -> bool:
        """Return False."""
        return False

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return the best as `BruteForce` says."""
        torch = self._torch
        parts = []
        with _ONE_AT_A_TIME:
            if self._sent is None or self._sent[0] is not vectors:
                # A copy: a tensor over a read-only map would be writable in name.
                self._sent = (vectors, torch.from_numpy(np.array(vectors)).to(self._device))
            rows = self._sent[1]
            if subset is not None:
                rows = rows[torch.from_numpy(subset.doc_nums.astype(np.int64)).to(self._device)]
            size = max(1, PRODUCT // max(1, len(rows)))
            allowed = torch.backends.cuda.matmul.allow_tf32
            torch.backends.cuda.matmul.allow_tf32 = False
            try:
                for first in range(0, len(queries), size):
                    part = torch.from_numpy(np.array(queries[first : first + size]))
                    best = torch.topk(part.to(self._device) @ rows.T, count, dim=1)
                    parts.append((best.values.cpu().numpy(), best.indices.cpu().numpy()))
            finally:
                torch.backends.cuda.matmul.allow_tf32 = allowed
        docs = np.concatenate([part[1] for part in parts])
        named = docs if subset is None else subset.doc_nums.astype(np.int64)[docs]
        return np.concatenate([part[0] for part in parts]), named


class FaissGpuBruteForce:
    """A flat FAISS index on a GPU; what it cannot do there is done elsewhere.

    Args:
        ordinal: number of the GPU.
        rest: answers over a subset, and what is deeper than FAISS selects on a GPU.

    Raises:
        MissingPackageError: FAISS is not installed, or cannot be loaded.
    """

    def __init__(self, ordinal: int, rest: BruteForce) -> None:
        self._faiss: Any = require("faiss", extra="gpu", purpose="dense search on a GPU")
        self._ordinal = ordinal
        self._rest = rest
        self._resources = self._faiss.StandardGpuResources()
        self._sent: tuple[Floats, Any] | None = None

    def on_cpu(self, queries: int) -> bool:
        """Return False."""
        return False

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return the best as `BruteForce` says."""
        if subset is not None or count > FAISS_MOST:
            return self._rest.best(queries, vectors, subset, count, threads)
        with _ONE_AT_A_TIME:
            if self._sent is None or self._sent[0] is not vectors:
                config = self._faiss.GpuIndexFlatConfig()
                config.device = self._ordinal
                config.useFloat16 = False
                index = self._faiss.GpuIndexFlatIP(self._resources, vectors.shape[1], config)
                index.add(np.ascontiguousarray(vectors))
                self._sent = (vectors, index)
            scores, docs = self._sent[1].search(np.ascontiguousarray(queries), count)
        return scores, docs
