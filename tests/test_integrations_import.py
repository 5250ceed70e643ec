"""Vectors and weights from elsewhere become branches; what is written is read back equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from scipy.sparse import csr_matrix

import hybrid
from hybrid.corpus import Document, Passages
from hybrid.encoders import Bm25Parameters
from hybrid.errors import CorpusError, UsageError
from hybrid.integrations.formats.export import ExportOptions, export_index
from hybrid.integrations.formats.imported import PlainTerms, imported_vectors, imported_weights
from hybrid.integrations.formats.vectors import Vectors, read_vectors
from hybrid.integrations.formats.weights import TermWeights, read_weights
from hybrid.search.index import Index
from tests.conftest import DOCUMENTS, QUERIES
from tests.made_encoders import HashDense, HashSparse

DOCS = [Document(doc_id, text, title) for doc_id, (title, text) in DOCUMENTS.items()]
IDS = list(DOCUMENTS)
ROWS = HashDense().encode_documents([document.full_text for document in DOCS])
TEXTS = {query_id: text for query_id, (text, _) in QUERIES.items()}
FLOATS = hybrid.BuildOptions(weights="float32", cache=False)


class Queries(HashDense):
    """Encodes the few documents of a check, and those that are new."""

    encoded = 0

    def encode_documents(self, texts: Any, progress: Any = None) -> Any:
        self.encoded += len(texts)
        return super().encode_documents(texts, progress)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("import") / "index"
    encoders = {"bm25": Bm25Parameters(), "sparse": HashSparse(), "dense": HashDense()}
    hybrid.build_index(DOCS, folder, FLOATS, encoders=encoders)
    return hybrid.open(folder, encoders={"sparse": HashSparse(), "dense": HashDense()})


def _npz(path: Path) -> None:
    np.savez(path, ids=np.array(IDS), vectors=ROWS)


def _table(path: Path) -> None:
    table = pa.table({"docid": IDS, "emb": pa.array(ROWS.tolist(), pa.list_(pa.float64()))})
    parquet.write_table(table, path) if path.suffix == ".parquet" else feather.write_feather(
        table, path
    )


def _faiss(path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    flat = faiss.IndexFlatIP(ROWS.shape[1])
    flat.add(ROWS)
    faiss.write_index(flat, str(path))


FILES: dict[str, Callable[[Path], Any]] = {
    "rows.npy": lambda path: np.save(path, ROWS),
    "rows.npz": _npz,
    "rows.parquet": _table,
    "rows.feather": _table,
    "rows.faiss": _faiss,
}


@pytest.mark.parametrize("name", FILES)
def test_vectors_of_each_kind_of_file(name: str, tmp_path: Path) -> None:
    path, ids = tmp_path / name, tmp_path / "ids.txt"
    FILES[name](path)
    ids.write_text("\n".join(IDS), encoding="utf-8")
    alone = name not in ("rows.npy", "rows.faiss")
    found = read_vectors(path, None if alone else ids)
    assert list(found.ids) == IDS
    assert np.array_equal(found.rows, ROWS)
    if not alone:
        with pytest.raises(UsageError, match="holds no ids"):
            read_vectors(path)
    with pytest.raises(CorpusError, match="1 ids for vectors"):
        read_vectors(path, ["one"])
    path.write_bytes(b"nonsense")
    with pytest.raises(CorpusError, match="no vectors that can be read"):
        read_vectors(path, ids)


def test_a_pickle_and_an_unknown_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CorpusError, match="pickle"):
        read_vectors(tmp_path / "rows.npy", ["a"])
    with pytest.raises(UsageError, match="give one of"):
        read_vectors(tmp_path / "rows.pkl")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]], "row 1 has 1 numbers, row 0 has 2"),
        ([[1.0, 2.0], [3.0, 4.0], None], "row 2 has 0 numbers, row 0 has 2"),
        ([None, [1.0, 2.0], [3.0, 4.0]], "row 0 has 0 numbers"),
        ([[1.0, 2.0], [3.0, None], [4.0, 5.0]], "row 1 holds a null"),
        ([[], [], []], "row 0 has 0 numbers"),
    ],
)
def test_lists_that_are_no_rows_are_refused(
    lists: list[Any], message: str, suffix: str, tmp_path: Path
) -> None:
    column, path = pa.array(lists, pa.list_(pa.float64())), tmp_path / f"rows{suffix}"
    table = pa.table({"id": ["a", "b", "c"], "v": column})
    if suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=1)
    else:
        feather.write_feather(table, path)
    with pytest.raises(CorpusError, match=message):
        read_vectors(path)


def test_rows_of_fixed_length_with_a_null_are_refused(tmp_path: Path) -> None:
    lists = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
    parquet.write_table(pa.table({"id": ["a", "b"], "v": lists}), tmp_path / "rows.parquet")
    with pytest.raises(CorpusError, match="row 1 has 0 numbers, row 0 has 2"):
        read_vectors(tmp_path / "rows.parquet")


def test_two_arrays_of_one_rank_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", ids=np.array(IDS), docs=ROWS, queries=ROWS)
    with pytest.raises(CorpusError, match=r"one array of ids and one of vectors.*'queries'"):
        read_vectors(tmp_path / "rows.npz")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(number: float, tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[4, 2] = number
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(CorpusError, match=f"the numbers of '{IDS[4]}' are not all finite"):
        read_vectors(tmp_path / "rows.npy", IDS)
    with pytest.raises(CorpusError, match="the numbers of 'b' are not all finite"):
        TermWeights(["a", "b"], ["t"], csr_matrix([[1.0], [number]]))


def test_vectors_of_an_approximate_index_are_refused(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    made = faiss.IndexHNSWFlat(ROWS.shape[1], 8)
    faiss.write_index(made, str(tmp_path / "rows.faiss"))
    with pytest.raises(CorpusError, match="IndexHNSWFlat holds no plain vectors"):
        read_vectors(tmp_path / "rows.faiss", IDS)


def test_ids_of_an_id_map(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    made = faiss.IndexIDMap(faiss.IndexFlatL2(2))
    made.add_with_ids(np.eye(2, dtype=np.float32), np.array([7, 3]))
    faiss.write_index(made, str(tmp_path / "rows.index"))
    assert read_vectors(tmp_path / "rows.index").ids == ["7", "3"]


def test_imported_vectors_are_the_branch_that_the_encoder_builds(
    index: Index, tmp_path: Path
) -> None:
    encoder, shuffled = Queries(), list(range(len(IDS)))[::-1]
    given = Vectors([IDS[i] for i in shuffled], ROWS[shuffled] * 3)  # the cosine is of unit rows
    vectors = imported_vectors(given, DOCS, encoder)
    assert encoder.encoded == len(DOCS)
    hybrid.build_index(DOCS, tmp_path / "idx", FLOATS, encoders={"dense": vectors})
    assert encoder.encoded == len(DOCS)
    with hybrid.open(tmp_path / "idx", encoders={"dense": HashDense()}) as opened:
        assert opened.search(TEXTS, 5).to_dict() == {
            query: pytest.approx(scores, abs=1e-6)
            for query, scores in index.search(TEXTS, 5, fusion="dense").to_dict().items()
        }
        opened.add([Document("new", "an apple")])
        assert opened.search("an apple", 1)[0].doc_id == "new"
    mixed = vectors.encode_documents(["an apple", DOCS[3].full_text])
    assert np.allclose(mixed, HashDense().encode_documents(["an apple", DOCS[3].full_text]))


def test_what_the_encoder_did_not_make_is_refused() -> None:
    with pytest.raises(UsageError, match="the cosine"):
        imported_vectors(Vectors(IDS, np.roll(ROWS, 1, axis=0)), DOCS, HashDense())
    with pytest.raises(UsageError, match="3 columns, those of the encoder 12"):
        imported_vectors(Vectors(IDS, ROWS[:, :3]), DOCS, HashDense())
    with pytest.raises(CorpusError, match="has no vector among the 9"):
        imported_vectors(Vectors(IDS[:-1], ROWS[:-1]), DOCS, HashDense())
    with pytest.raises(CorpusError, match="1 ids of the vectors occur twice"):
        imported_vectors(Vectors([*IDS, IDS[0]], ROWS[[*range(10), 0]]), DOCS, HashDense())


@pytest.mark.parametrize("wrong", [range(20, 200), range(3), range(90, 150), range(180, 200)])
def test_wrong_rows_anywhere_are_seen(wrong: range) -> None:
    documents = [Document(f"d{number:03}", f"unique text {number}") for number in range(200)]
    encoder, ids = Queries(), [each.doc_id for each in documents]
    rows = encoder.encode_documents([each.full_text for each in documents])
    encoder.encoded = 0
    imported_vectors(Vectors(ids, rows), documents, encoder)
    assert 16 <= encoder.encoded < 32
    rows[wrong.start : wrong.stop] *= -1
    with pytest.raises(UsageError, match=r"the vector of 'd\d\d\d' has the cosine -1.00"):
        imported_vectors(Vectors(ids, rows), documents, encoder)


def test_given_rows_are_not_for_passages(tmp_path: Path) -> None:
    vectors = imported_vectors(Vectors(IDS, ROWS), DOCS, HashDense())
    options = hybrid.BuildOptions(cache=False, passages=Passages(4, 1))
    with pytest.raises(UsageError, match="rows of 'dense' are given, one for each document"):
        hybrid.build_index(DOCS, tmp_path / "idx", options, encoders={"dense": vectors})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("system", ["anserini", "ciff"])
def test_exported_weights_come_back(system: Any, index: Index, tmp_path: Path) -> None:
    written = export_index(index, tmp_path / "out.ciff", ExportOptions(to=system))
    assert written.documents == len(DOCS)
    path = tmp_path / "out.ciff"
    weights = read_weights(path / "documents" if system == "anserini" else path)
    assert sorted(weights.ids) == sorted(IDS)
    encoder = HashSparse()
    given = imported_weights(weights, DOCS, encoder)
    expected = encoder.encode_documents([each.full_text for each in DOCS]).toarray()
    found = given.encode_documents([each.full_text for each in DOCS]).toarray()
    assert np.allclose(found, expected, atol=0.005)
    hybrid.build_index(DOCS, tmp_path / "idx", FLOATS, encoders={"sparse": given})
    with hybrid.open(tmp_path / "idx", encoders={"sparse": encoder}) as opened:
        ours = index.search(TEXTS, 5, fusion="sparse")
        assert [opened.search(TEXTS, 5).doc_ids(q) for q in TEXTS] == [
            ours.doc_ids(q) for q in TEXTS
        ]


def test_weights_without_an_encoder_take_terms_as_queries(index: Index, tmp_path: Path) -> None:
    export_index(index, tmp_path / "out.ciff", ExportOptions(to="ciff", branch="bm25"))
    weights = read_weights(tmp_path / "out.ciff")
    given = imported_weights(weights, DOCS)
    hybrid.build_index(DOCS, tmp_path / "idx", FLOATS, encoders={"terms": given})
    plain = PlainTerms(weights.vocabulary)
    with hybrid.open(tmp_path / "idx", encoders={"terms": plain}) as opened:
        (hit,) = opened.search("json pars json", 1)
    row = weights.rows[weights.ids.index("json.load")].toarray()[0]
    column = {term: place for place, term in enumerate(weights.vocabulary)}
    assert (hit.doc_id, hit.score) == (
        "json.load",
        pytest.approx(2 * row[column["json"]] + row[column["pars"]], rel=1e-6),
    )


def test_odd_weights_are_refused(tmp_path: Path) -> None:
    lines = tmp_path / "part.jsonl"
    lines.write_text(json.dumps({"id": "a", "vector": {"nowhere": 1}}))
    weights = read_weights(tmp_path, scale=1)
    assert (list(weights.ids), weights.rows.toarray().tolist()) == (["a"], [[1.0]])
    with pytest.raises(UsageError, match="no term 'nowhere'"):
        imported_weights(weights, [Document("a", "text")], HashSparse())
    with pytest.raises(UsageError, match="scale is 0"):
        read_weights(lines, scale=0)
    for text in ('{"id": "a"}', '{"id": "a", "vector": [1]}', "", "{"):
        lines.write_text(text)
        with pytest.raises(CorpusError, match="JSON lines with id and vector"):
            read_weights(lines)
    huge = b"\x07\x18" + b"\xff" * 5 + b"\x01"
    for data in (b"", b"\x08\x01", b"\x02\x12\x09", huge):
        (tmp_path / "x.ciff").write_bytes(data)
        with pytest.raises(CorpusError, match="as CIFF file"):
            read_weights(tmp_path / "x.ciff")


@pytest.mark.parametrize("system", ["parquet", "arrow", "safetensors"])
@pytest.mark.parametrize("branch", ["dense", "sparse"])
def test_files_of_vectors(system: Any, branch: str, index: Index, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{system}"
    written = export_index(index, path, ExportOptions(to=system, branch=branch))
    assert written.documents == len(DOCS)
    texts = {each.doc_id: each.full_text for each in DOCS}
    if branch == "dense":
        found = read_vectors(path)
        assert np.array_equal(
            found.rows, HashDense().encode_documents([texts[doc_id] for doc_id in found.ids])
        )
    elif system == "safetensors":
        from safetensors.numpy import load_file

        held = load_file(path)
        ids = json.loads(held["ids"].tobytes())
        expected = HashSparse().encode_documents([texts[doc_id] for doc_id in ids])
        assert np.array_equal(held["data"], expected.data)
        assert np.array_equal(held["indices"], expected.indices)
        assert json.loads(held["vocabulary"].tobytes()) == HashSparse().vocabulary
    if system != "safetensors":
        read = parquet.read_table if system == "parquet" else feather.read_table
        rows = read(path).to_pylist()
        assert {row["doc_id"]: row["text"] for row in rows} == texts
        for row in rows if branch == "sparse" else ():
            weights = dict(zip(row["terms"], row["weights"], strict=True))
            expected = HashSparse().encode_documents([row["text"]])
            assert weights == {
                f"t{i}": w for i, w in zip(expected.indices, expected.data, strict=True)
            }


@pytest.mark.parametrize("system", ["ciff", "parquet", "safetensors"])
def test_an_empty_index_is_no_file(system: Any, tiny_copy: Path, tmp_path: Path) -> None:
    with hybrid.open(tiny_copy) as emptied:
        emptied.delete(list(emptied.contents.doc_ids))
        emptied.compact()
        with pytest.raises(UsageError, match="no documents to export"):
            export_index(emptied, tmp_path / "out", ExportOptions(to=system))


def test_queries_are_for_anserini_alone(index: Index, tmp_path: Path, beir_folder: Path) -> None:
    source = hybrid.open_source(beir_folder)
    for system in ("ciff", "parquet"):
        with pytest.raises(UsageError, match="holds no queries"):
            export_index(index, tmp_path / "x", ExportOptions(to=system), queries=source)
    assert not (tmp_path / "x").exists()
