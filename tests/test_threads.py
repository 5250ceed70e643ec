"""The threads of a model: one for few texts, and of the calling thread alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hybrid.encoders import load_dense, load_sparse
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.splade import SpladeEncoder
from hybrid.machine.threads import FEW_TEXTS, model_threads

torch = pytest.importorskip("torch")


@pytest.fixture
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_few_texts_take_one_thread_and_many_those_that_there_are(two_threads: None) -> None:
    for texts, expected in ((1, 1), (FEW_TEXTS, 1), (FEW_TEXTS + 1, 2), (1000, 2), (0, 1)):
        with model_threads(texts):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 2


def test_an_error_gives_the_threads_back(two_threads: None) -> None:
    with pytest.raises(RuntimeError, match="broken"), model_threads(1):
        raise RuntimeError("broken")
    assert torch.get_num_threads() == 2


def test_the_limit_is_of_the_calling_thread_alone(two_threads: None) -> None:
    def limited(_: int) -> int:
        with model_threads(1):
            return int(torch.get_num_threads())

    with ThreadPoolExecutor(1) as pool:
        with model_threads(1):
            assert pool.submit(torch.get_num_threads).result(timeout=60) == 2
        assert pool.submit(limited, 0).result(timeout=60) == 1
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result(timeout=60) == 2


def test_a_query_takes_one_thread_and_documents_all(
    tiny_dense: Path, tiny_sparse: Path, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    for kind, encoder in (
        (TransformerEncoder, load_dense(str(tiny_dense), device="cpu")),
        (SpladeEncoder, load_sparse(str(tiny_sparse), device="cpu")),
    ):
        plain = kind._encode

        def watched(*given: Any, plain: Any = plain) -> Any:
            seen.append(torch.get_num_threads())
            return plain(*given)

        monkeypatch.setattr(kind, "_encode", watched)
        encoder.encode_queries(["one"])
        encoder.encode_queries(["one"] * (FEW_TEXTS + 1))
        encoder.encode_documents(["one"])
    assert seen == [1, 2, 2] * 2
