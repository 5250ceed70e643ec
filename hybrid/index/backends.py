"""Which backend searches the dense and the sparse branches on this machine, and why.

A GPU counts once it has answered a probe: FAISS for the dense branch where it is built for a GPU
and loads, else torch; torch for the sparse branch; else both run on the CPU.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.errors import MissingPackageError, UsageError, require

if TYPE_CHECKING:
    from hybrid.index.dense.brute_force import BruteForce

AUTO = "auto"
CPU = "cpu"
DRIVERS = ("libcuda.so.1", "nvcuda.dll")
NO_DRIVER = "no GPU found: this machine has no NVIDIA driver"


@dataclass(frozen=True, slots=True)
class Backend:
    """The library that searches one kind of branch, its device, and the reason for the choice."""

    name: Literal["kernels", "faiss", "faiss-gpu", "torch"]
    device: str
    reason: str

    @property
    def sends(self) -> bool:
        """Whether the branch is sent to a device."""
        return self.name in ("faiss-gpu", "torch")

    def __str__(self) -> str:
        return f"{self.name} on {self.device}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Backends:
    """The backend of each kind of branch."""

    dense: Backend
    sparse: Backend


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a GPU answered one library, and what was seen."""

    ok: bool
    detail: str


def ordinal_of(device: str) -> int | None:
    """Return the number of the GPU that a device names; None for ``auto`` and ``cpu``.

    >>> ordinal_of("cuda:1"), ordinal_of("cuda"), ordinal_of("auto")
    (1, 0, None)

    Raises:
        UsageError: it is none of these.
    """
    if device in (AUTO, CPU):
        return None
    if not re.fullmatch(r"cuda(:\d{1,3})?", device):
        raise UsageError(f"device is {device!r}; give auto, cpu, cuda, or cuda:0 and so on")
    return int(device.partition(":")[2] or 0)


def driver_found() -> bool:
    """Return whether the library of a GPU driver is here; loads neither torch nor FAISS."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def choose(device: str = AUTO, *, thorough: bool = False) -> Backends:
    """Return the backends that searches with this ``device`` use.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        thorough: ask torch and FAISS also where there is no driver, to say what they are.

    Raises:
        UsageError: no such device here; says what torch and FAISS found.
    """
    ordinal = ordinal_of(device)
    if device == CPU:
        return _on_cpu("asked for")
    if device == AUTO and not thorough and not driver_found():
        return _on_cpu(NO_DRIVER)
    number = ordinal or 0
    by_torch, by_faiss = probe_torch(number), probe_faiss(number)
    if not by_torch.ok and not by_faiss.ok:
        seen = f"{by_torch.detail}; {by_faiss.detail}"
        if device == AUTO:
            return _on_cpu(f"{'no GPU answers' if driver_found() else NO_DRIVER} ({seen})")
        raise UsageError(
            f"device is {device!r}, and no such GPU answers here: {seen}. Give 'cpu' or 'auto', "
            "which return the same hits; `hybrid doctor` says what would run"
        )
    cuda = f"cuda:{number}"
    if by_faiss.ok:
        dense = Backend("faiss-gpu", cuda, by_faiss.detail)
    else:
        dense = Backend("torch", cuda, f"{by_torch.detail}; {by_faiss.detail}")
    if by_torch.ok:
        return Backends(dense, Backend("torch", cuda, by_torch.detail))
    return Backends(dense, Backend("kernels", CPU, by_torch.detail))


def probe_torch(ordinal: int) -> Probe:
    """Return whether torch multiplies on this GPU, dense and sparse."""
    from hybrid.index.dense.gpu import TorchBruteForce

    try:
        torch: Any = require("torch", extra="cpu", purpose="search on a GPU")
        name = f"torch {torch.__version__}"
        if not torch.cuda.is_available():
            built = torch.version.cuda
            how = "is built for the CPU" if built is None else f"(CUDA {built}) finds no GPU"
            return Probe(False, f"{name} {how}")
        if ordinal >= torch.cuda.device_count():
            return Probe(False, f"{name} finds {_counted(torch.cuda.device_count())}")
        device = f"cuda:{ordinal}"
        ask(TorchBruteForce(device))
        row = torch.ones(2, 2).to_sparse_csr().to(device) @ torch.ones(2, 1, device=device)
        _expect(row.cpu().flatten().tolist(), [2.0, 2.0])
        return Probe(True, f"{name} answered on {torch.cuda.get_device_name(ordinal)}")
    except (MissingPackageError, RuntimeError, OSError, AttributeError) as error:
        return Probe(False, f"torch fails: {error}")


def probe_faiss(ordinal: int) -> Probe:
    """Return whether FAISS is built for a GPU, loads, and searches on this one."""
    from hybrid.index.dense.brute_force import FaissBruteForce
    from hybrid.index.dense.gpu import FaissGpuBruteForce

    try:
        faiss: Any = require("faiss", extra="gpu", purpose="dense search on a GPU")
        name = f"FAISS {faiss.__version__}"
        if not hasattr(faiss, "StandardGpuResources"):
            return Probe(False, f"{name} is built for the CPU (faiss-cpu is installed)")
        if ordinal >= faiss.get_num_gpus():
            return Probe(False, f"{name}, built for a GPU, finds {_counted(faiss.get_num_gpus())}")
        ask(FaissGpuBruteForce(ordinal, FaissBruteForce()))
        return Probe(True, f"{name}, built for a GPU, answered on cuda:{ordinal}")
    except (MissingPackageError, RuntimeError, OSError, AttributeError) as error:
        return Probe(False, f"FAISS fails: {error}")


def ask(brute_force: BruteForce) -> None:
    """Ask for a vector that only a product in full float32 tells from its neighbours.

    Raises:
        RuntimeError: another one came back, or a rounded score.
    """
    vectors = np.zeros((64, 32), dtype=np.float32)
    vectors[:, 0] = 1 + np.arange(64) * 2.0**-20
    scores, docs = brute_force.best(vectors[:1], vectors, None, 1, 1)
    _expect((int(docs[0, 0]), float(scores[0, 0])), (63, float(vectors[63, 0])))


def _expect(product: object, expected: object) -> None:
    if product != expected:
        raise RuntimeError(f"a product on the GPU gave {product}, expected {expected}")


def _counted(gpus: int) -> str:
    return "no GPU" if not gpus else f"{gpus} GPU{'s' * (gpus > 1)}, counted from cuda:0"


def _on_cpu(reason: str) -> Backends:
    return Backends(Backend("faiss", CPU, reason), Backend("kernels", CPU, reason))
