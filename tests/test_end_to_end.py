"""The parts of ``benchmarks/end_to_end.py`` that need no other system."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests.conftest import load_script

ROW = {
    "system": "ours",
    "branches": 3,
    "queries": 5,
    "p50_ms": 1.5,
    "p95_ms": 2.5,
    "encode_p50_ms": 1.0,
    "cpu_ms": 1.2,
    "recall": 1.0,
    "memory_mb": 7,
    "build_s": 3.0,
    "build_cpu_s": 2.0,
    "disk_mb": 1.4,
    "version": "0.2.0",
}


def test_exact_answers_are_those_of_reciprocal_ranks() -> None:
    data = load_script("benchmarks/end_to_end_data")
    lists = [np.array([4, 2]), np.array([2, 9])]
    found = data.fused(lists)
    assert found == pytest.approx({4: 1 / 61, 2: 1 / 62 + 1 / 61, 9: 1 / 62})
    assert data.top(np.array([0.0, 3.0, -1.0, 5.0], np.float32)).tolist() == [3, 1]


def test_recall_counts_ties_with_the_tenth() -> None:
    data = load_script("benchmarks/end_to_end_data")
    exact = {str(number): 1.0 if number < 9 else 0.5 for number in range(12)}
    assert data.recall(exact, [*range(9), 11]) == 1.0
    assert data.recall(exact, [*range(8), 11, 50]) == 0.9
    assert data.recall({"3": 1.0}, [3]) == 1.0
    assert data.recall({"3": 1.0}, []) == 0.0


def test_made_documents_are_alike_in_every_call() -> None:
    data = load_script("benchmarks/end_to_end_data")
    texts = ["one two three four", "five six seven eight"]
    sparse = csr_matrix(np.ones((2, 40), np.float32))
    dense = np.eye(2, 8, dtype=np.float32)
    (first,), (again,) = (list(data.made(texts, sparse, dense, 30)) for _ in range(2))
    assert first[0] == again[0]
    assert set(first[0]) <= {f"{a} {b}" for a in ("one two", "five six") for b in _tails(texts)}
    assert (first[1] != again[1]).nnz == 0
    assert 0 < first[1].nnz < 30 * 40
    np.testing.assert_array_equal(first[2], again[2])
    np.testing.assert_allclose(np.linalg.norm(first[2], axis=1), 1, rtol=1e-6)


def test_the_page_keeps_what_was_written_by_hand() -> None:
    script = load_script("benchmarks/end_to_end")
    rows = [ROW | {"queries_s_1": 10.2, "queries_s_8": 30.7}, ROW | {"system": "qdrant"}]
    run = {"docs": 10_000, "real": 8_192, "cores": 2, "load": 1.0, "rows": rows}
    page = script.page([run], f"{script.MARK}\n\nSlowly.\n")
    assert "## 10,000 documents, 8,192 of them real" in page
    assert "| ours | 3 | 1.5 | 2.5 | 1.0 | 1.2 | 1.0 | 7 | 3.0 | 2.0 | 1 | 10, 31 |" in page
    assert page.endswith("Slowly.\n")


WORKER = """
import sys
print("x" * 200_000, file=sys.stderr, flush=True)
print("{}", flush=True)
"""


@pytest.mark.timeout(30)
def test_a_worker_that_writes_many_errors_answers(capfd: pytest.CaptureFixture[str]) -> None:
    worker = load_script("benchmarks/end_to_end").Worker([sys.executable, "-c", WORKER])
    try:
        assert worker.read() == {}
    finally:
        worker.close()
    assert len(capfd.readouterr().err) == 200_001


def _tails(texts: list[str]) -> list[str]:
    return [" ".join(text.split()[2:]) for text in texts]
