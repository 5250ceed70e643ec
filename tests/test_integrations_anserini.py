"""The Anserini export: what Anserini's own rules make of the files is the dot product."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from hybrid.errors import OutputExistsError, StorageError, UsageError
from hybrid.integrations.formats import anserini
from hybrid.integrations.formats.anserini import VectorBatch, export_anserini
from hybrid.integrations.formats.impacts import Rounding

VOCABULARY = ["merge", "##ing", "sort", "naïve", "#", "x"]


def batch(ids: list[str], rows: list[list[float]]) -> VectorBatch:
    vectors = csr_matrix(np.array(rows, dtype=np.float32).reshape(len(ids), len(VOCABULARY)))
    return VectorBatch(ids, [f"text of {identifier}" for identifier in ids], vectors)


def read_documents(directory: Path) -> list[dict[str, object]]:
    files = sorted((directory / "documents").iterdir())
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_files_hold_integer_weights(tmp_path: Path) -> None:
    documents = [batch(["a", "b"], [[1.234, 0, 0, 0.5, 0, 0], [0, 2, 0.004, 0, 0, 0]])]
    queries = [batch(["q1"], [[0.03, 0, 0, 0.02, 0, 0]])]
    export = export_anserini(documents, tmp_path / "out", vocabulary=VOCABULARY, queries=queries)
    assert read_documents(tmp_path / "out") == [
        {"id": "a", "contents": "text of a", "vector": {"merge": 123, "naïve": 50}},
        {"id": "b", "contents": "text of b", "vector": {"##ing": 200}},
    ]
    topics = (tmp_path / "out" / "queries.tsv").read_text("utf-8")
    assert topics == "q1\tmerge merge merge naïve naïve\n"
    assert (export.documents, export.queries, export.empty_documents) == (2, 1, 0)
    rounding = export.document_rounding
    assert (rounding.postings, rounding.dropped) == (3, 1)
    assert rounding.weight_lost == pytest.approx(0.004 / (1.234 + 0.5 + 2 + 0.004))
    assert rounding.largest_error == pytest.approx(0.004)
    summary = json.loads((tmp_path / "out" / "export.json").read_text("utf-8"))
    assert summary == json.loads(json.dumps(export.to_dict()))
    assert summary["document_weights"]["scale"] == 100
    assert f"{tmp_path / 'out'}/documents" in summary["commands"][0]


def test_score_by_anserinis_rules_is_the_dot_product_of_integers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anserini, "DOCUMENTS_PER_FILE", 8)
    rng = np.random.default_rng(7)
    size = len(VOCABULARY)
    documents = random(30, size, density=0.6, format="csr", dtype=np.float32, random_state=rng)
    queries = random(5, size, density=0.6, format="csr", dtype=np.float32, random_state=rng)
    doc_ids = [f"d{n}" for n in range(30)]
    query_ids = [f"q{n}" for n in range(5)]
    halves = [
        VectorBatch(doc_ids[:17], [""] * 17, documents[:17]),
        VectorBatch(doc_ids[17:], [""] * 13, documents[17:]),
    ]
    out = tmp_path / "out"
    export_anserini(
        halves,
        out,
        vocabulary=VOCABULARY,
        queries=[VectorBatch(query_ids, [""] * 5, queries)],
    )
    assert len(list((out / "documents").iterdir())) == -(-30 // 8)
    vectors = {record["id"]: record["vector"] for record in read_documents(out)}
    expected = np.rint(100 * queries.toarray()) @ np.rint(100 * documents.toarray()).T
    for line in (out / "queries.tsv").read_text("utf-8").splitlines():
        query_id, text = line.split("\t")
        counts = Counter(text.split())
        for doc_id, vector in vectors.items():
            score = sum(count * vector.get(term, 0) for term, count in counts.items())  # type: ignore[attr-defined]
            assert score == expected[query_ids.index(query_id), doc_ids.index(doc_id)]


def test_empty_vectors(tmp_path: Path) -> None:
    documents = [batch(["a"], [[0.001, 0, 0, 0, 0, 0]])]
    queries = [batch(["q1", "q2"], [[0] * 6, [0, 0, 1, 0, 0, 0]])]
    out = tmp_path / "out"
    export = export_anserini(documents, out, vocabulary=VOCABULARY, queries=queries)
    assert export.empty_documents == 1
    assert export.empty_queries == ("q1",)
    assert read_documents(out)[0]["vector"] == {}
    assert (out / "queries.tsv").read_text("utf-8").split("\t")[0] == "q2"


def test_no_documents(tmp_path: Path) -> None:
    export = export_anserini([], tmp_path / "out", vocabulary=VOCABULARY)
    assert (export.documents, export.queries) == (0, 0)
    assert (tmp_path / "out" / "queries.tsv").read_bytes() == b""


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_an_existing_output_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputExistsError, match="exists"):
        export_anserini([batch(["a"], [[1] * 6])], out, vocabulary=VOCABULARY)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("documents", "vocabulary", "message"),
    [
        ([batch(["a b"], [[1] * 6])], VOCABULARY, "'a b'"),
        ([batch(["a"], [[1] * 6])], ["ice cream", *VOCABULARY[1:]], "'ice cream'"),
        ([batch(["a"], [[1] * 6])], ["", *VOCABULARY[1:]], "column 0"),
        ([batch(["a"], [[1] * 6])], ["y" * 256, *VOCABULARY[1:]], "longer"),
        ([batch(["a"], [[1] * 6])], VOCABULARY[:5], "6 columns, the vocabulary 5"),
        ([batch(["a"], [[-1] + [1] * 5])], VOCABULARY, "not negative"),
        ([batch(["a"], [[np.inf] + [1] * 5])], VOCABULARY, "finite"),
        ([batch(["a"], [[3e7] + [1] * 5])], VOCABULARY, "an impact over"),
    ],
)
def test_what_anserini_could_not_read_is_refused_and_leaves_nothing(
    tmp_path: Path, documents: list[VectorBatch], vocabulary: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export_anserini(documents, tmp_path / "out", vocabulary=vocabulary)
    assert list(tmp_path.iterdir()) == []


def test_an_odd_term_that_no_document_uses_is_no_error(tmp_path: Path) -> None:
    vocabulary = [*VOCABULARY[:5], "ice cream"]
    export_anserini([batch(["a"], [[1, 0, 0, 0, 0, 0]])], tmp_path / "out", vocabulary=vocabulary)


def test_a_failing_disk_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> object:
        yield batch(["a"], [[1] * 6])
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        export_anserini(failing(), tmp_path / "out", vocabulary=VOCABULARY)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_batch_of_unequal_lengths() -> None:
    with pytest.raises(UsageError, match="2 ids, 1 contents and 1 vectors"):
        VectorBatch(["a", "b"], [""], csr_matrix((1, 6), dtype=np.float32))


def test_progress_counts_documents(tmp_path: Path) -> None:
    told: list[int] = []
    documents = [batch(["a", "b"], [[1] * 6] * 2), batch(["c"], [[1] * 6])]
    export_anserini(documents, tmp_path / "out", vocabulary=VOCABULARY, progress=told.append)
    assert told == [2, 1]


def test_rounding_error_is_at_most_half_a_step() -> None:
    rounding = Rounding()
    weights = np.random.default_rng(3).exponential(size=1000).astype(np.float32)
    impacts = rounding.impacts(weights)
    assert np.array_equal(impacts, np.rint(weights.astype(np.float64) * 100))
    assert rounding.largest_error <= 0.5 / 100
    assert rounding.postings + rounding.dropped == 1000


def test_without_queries_no_search_command_is_given(tmp_path: Path) -> None:
    made = export_anserini([], tmp_path / "out", vocabulary=["a"])
    assert [command.split()[1].rpartition(".")[2] for command in made.commands] == [
        "IndexCollection"
    ]
