"""``hybrid doctor``: environments that cannot work well are named."""

from __future__ import annotations

from importlib import metadata

import pytest
import threadpoolctl
import torch

from hybrid.cli import doctor


def test_two_faiss_wheels_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "version", lambda name: {"faiss-cpu": "1", "faiss-gpu": "1"}[name]
    )
    monkeypatch.setattr(metadata, "PackageNotFoundError", KeyError)
    with pytest.raises(RuntimeError, match="faiss-cpu and faiss-gpu install the same module"):
        doctor._faiss_wheel()


def test_a_cuda_torch_without_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"brings gigabytes of CUDA 12\.8"):
        doctor._torch_wheel()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert doctor._torch_wheel() == "for CUDA"


@pytest.mark.parametrize(
    ("prefixes", "clash"),
    [(["libgomp"], False), (["libgomp", "libiomp"], True), (["libiomp"], False), ([], False)],
)
def test_two_openmp_runtimes_are_named(
    monkeypatch: pytest.MonkeyPatch, prefixes: list[str], clash: bool
) -> None:
    pools = [{"user_api": "openmp", "prefix": p, "filepath": f"/{p}.so"} for p in prefixes]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    if clash:
        with pytest.raises(RuntimeError, match=r"loaded together.*/libgomp\.so, /libiomp\.so"):
            doctor._openmp()
    else:
        assert doctor._openmp() == (", ".join(prefixes) or "none")
