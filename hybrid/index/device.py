"""The device on which an opened index is searched, and its branches there.

Nothing is sent before it is used. A device finds candidates and the index gives the scores, so the
hits, scores and ties are those of the CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hybrid.errors import DeviceError, MissingPackageError
from hybrid.index import backends
from hybrid.index.backends import Backends
from hybrid.index.documents.passages import Rows
from hybrid.index.documents.subset import Subset, SubsetLike
from hybrid.index.sparse.gpu import DeviceSearcher
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.machine.arrays import Floats, Ints, Longs
from hybrid.machine.gpu import warn_unconfirmed

if TYPE_CHECKING:
    from hybrid.index.dense.brute_force import BruteForce
    from hybrid.index.dense.vector import VectorIndex

LEAST = 16  # queries: fewer are answered before a device would have been given them

Thing = TypeVar("Thing")
Result = TypeVar("Result")


class SearchDevice:
    """Where searches run: named at once, or found with ``auto`` when a batch first asks.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: no such device, or it is not here.
    """

    def __init__(self, device: str = backends.CPU) -> None:
        self.device = device
        self.named = backends.ordinal_of(device) is not None
        if self.named:
            self.backends  # noqa: B018  # refused here, not at the first search

    @cached_property
    def backends(self) -> Backends:
        """The backend of each kind of branch."""
        return backends.choose(self.device)

    @property
    def encoder_device(self) -> str | None:
        """Where query encoders run; None leaves it to them."""
        return None if self.device == backends.AUTO else self.backends.sparse.device

    @cached_property
    def possible(self) -> bool:
        """Whether a search may leave the CPU."""
        return self.named or (self.device == backends.AUTO and backends.driver_found())

    def place_sparse(self, index: InvertedIndex) -> Rows:
        """Return a sparse branch as it is searched; as it is where only the CPU is possible."""
        return DeviceInvertedIndex(index, self) if self.possible else index

    def place_dense(self, index: VectorIndex) -> Rows:
        """Return a dense branch whose vectors are compared on the device, if one is possible."""
        if self.possible:
            for stored in index.segments:
                stored.brute_force = DeviceBruteForce(self)
        return index


class DeviceInvertedIndex:
    """A sparse branch whose batches are searched on the device."""

    def __init__(self, index: InvertedIndex, device: SearchDevice) -> None:
        self.index = index
        self._device = device
        self._held = Held(
            lambda: DeviceSearcher(index, device.backends.sparse.device), device, "sparse"
        )

    @property
    def doc_count(self) -> int:
        """Number of documents."""
        return self.index.doc_count

    def search(
        self,
        queries: Any,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
    ) -> tuple[Ints, Floats]:
        """Return the hits of the index."""

        def on_cpu() -> tuple[Ints, Floats]:
            return self.index.search(queries, k, threads=threads, subset=subset)

        if queries.shape[0] < LEAST or not self._device.backends.sparse.sends:
            return on_cpu()
        return self._held.use(lambda held: held.search(queries, k, subset=subset), on_cpu)

    def score(self, queries: Any, doc_nums: Ints) -> Floats:
        """Return the score of each named document; see the index."""
        return self.index.score(queries, doc_nums)


class DeviceBruteForce:
    """Vectors compared on the device: in every search if it was named, in batches with ``auto``."""

    def __init__(self, device: SearchDevice) -> None:
        from hybrid.index.dense.brute_force import FaissBruteForce

        self._device = device
        self._cpu = FaissBruteForce()
        self._held = Held(self._make, device, "dense")

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return the best as `BruteForce` says."""

        def on_cpu() -> tuple[Floats, Longs]:
            return self._cpu.best(queries, vectors, subset, count, threads)

        def on_device() -> tuple[Floats, Longs]:
            return self._held.use(
                lambda held: held.best(queries, vectors, subset, count, threads), on_cpu
            )

        if self._device.named or len(queries) >= LEAST:
            return on_cpu() if self.on_cpu(len(queries)) else on_device()
        try:
            return on_cpu()
        except MissingPackageError:
            if not self._device.backends.dense.sends:
                raise
            return on_device()

    def on_cpu(self, queries: int) -> bool:
        """Return whether so many queries stay on the CPU."""
        if self._device.named or queries >= LEAST:
            return not self._device.backends.dense.sends
        return True

    def _make(self) -> BruteForce:
        from hybrid.index.dense.gpu import FaissGpuBruteForce, TorchBruteForce

        backend = self._device.backends.dense
        if backend.name == "faiss-gpu":
            return FaissGpuBruteForce(backends.ordinal_of(backend.device) or 0, self._cpu)
        return TorchBruteForce(backend.device)


class Held(Generic[Thing]):
    """An index on a device: sent there when first used, given up where the device fails.

    A device that was named fails loudly; with ``auto`` the CPU answers, after one warning.
    """

    def __init__(self, make: Callable[[], Thing], device: SearchDevice, branch: str) -> None:
        self._make = make
        self._device = device
        self._branch = branch
        self._lock = Lock()
        self._thing: Thing | None = None
        self._given_up = False

    def use(self, job: Callable[[Thing], Result], otherwise: Callable[[], Result]) -> Result:
        """Return the result of the job on the device, or of ``otherwise`` without it.

        Raises:
            DeviceError: the device, which was named, failed; it may have too little memory.
        """
        if self._given_up:
            return otherwise()
        try:
            with self._lock:
                if self._thing is None:
                    used = self._device.backends
                    backend = used.dense if self._branch == "dense" else used.sparse
                    warn_unconfirmed(f"the {self._branch} search", backend.device)
                    self._thing = self._make()
                thing = self._thing
            return job(thing)
        except RuntimeError as error:
            said = f"the {self._branch} search failed on the GPU: {error}"
            if self._device.named:
                raise DeviceError(
                    f"{said}. Give device 'cpu', which returns the same hits"
                ) from error
            self._given_up, self._thing = True, None
            warnings.warn(f"{said}. The CPU goes on from here", RuntimeWarning, stacklevel=2)
        return otherwise()
