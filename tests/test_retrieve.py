from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.errors import (
    CorruptIndexError,
    IndexFormatError,
    ModelError,
    ModelMismatchError,
    UsageError,
)
from hybrid.evaluate import EvaluateOptions
from hybrid.evaluate.systems import system_fusions
from hybrid.fusion import parse_fusion, rrf
from hybrid.index.change import store_domain
from tests.conftest import DOCUMENTS, QUERIES


def test_one_query_gives_hits_and_several_a_run(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        hits = index.search("merge sorted lists", k=3)
        run = index.search(["merge sorted lists", "parse json"], k=3)
        named = index.search({"q7": "merge sorted lists"}, k=3)
        assert [hit.rank for hit in hits] == [1, 2, 3]
        assert hits == run["1"] == named["q7"]
        assert list(run) == ["1", "2"]


@pytest.mark.parametrize("branch", ["bm25", "sparse", "dense"])
def test_a_branch_alone_equals_the_matrix_product(tiny_index: Path, branch: str) -> None:
    with hybrid.open(tiny_index) as index:
        query = index.encoder(branch).encode_queries(["merge sorted lists"])
        every = np.arange(len(index), dtype=np.int32)
        if branch == "dense":
            texts = [index.document(d).full_text for d in index.contents.doc_ids]
            scores = index.encoder(branch).encode_documents(texts) @ query[0]
        else:
            rows = index.contents.sparse(branch).vectors(every)
            scores = (rows @ query.toarray()[0]).astype(np.float32)
        pairs = zip(index.contents.doc_ids, scores.tolist(), strict=True)
        expected = [(d, s) for d, s in pairs if s > 0 or branch == "dense"]
        expected.sort(key=lambda pair: (pair[1], pair[0]), reverse=True)
        hits = index.search("merge sorted lists", k=10, fusion=branch)
        assert [hit.doc_id for hit in hits] == [doc_id for doc_id, _ in expected]
        np.testing.assert_allclose([hit.score for hit in hits], [s for _, s in expected], rtol=1e-5)


def test_encoded_queries_score_the_same_bits_alone_and_in_a_batch(tiny_index: Path) -> None:
    texts = [text for text, _ in QUERIES.values()]
    with hybrid.open(tiny_index) as index:
        for name in index.branches:
            encoded, branch = index.encoder(name).encode_queries(texts), index.contents.branch(name)
            doc_nums, scores = branch.search(encoded, 10)
            for row in range(len(texts)):
                alone = branch.search(encoded[row : row + 1], 10)
                assert np.array_equal(alone[0][0], doc_nums[row])
                assert np.array_equal(alone[1][0], scores[row])


def test_batch_and_single_agree_up_to_the_rounding_of_the_network(tiny_index: Path) -> None:
    texts = [text for text, _ in QUERIES.values()]
    with hybrid.open(tiny_index) as index:
        for fusion in index.branches:
            run = index.search(texts, k=10, fusion=fusion)
            for number, text in enumerate(texts, start=1):
                alone = {hit.doc_id: hit.score for hit in index.search(text, k=10, fusion=fusion)}
                batch = {hit.doc_id: hit.score for hit in run[str(number)]}
                assert alone == pytest.approx(batch, rel=1e-5)


def test_pool_holds_exact_scores_at_any_depth(tiny_index: Path) -> None:
    queries = {query_id: text for query_id, (text, _) in QUERIES.items()}
    with hybrid.open(tiny_index) as index:
        shallow, deep = index.pool(queries, depth=2), index.pool(queries, depth=10)
        for i in range(len(shallow)):
            rows = slice(*shallow.offsets[i : i + 2])
            at = deep.offsets[i] + np.searchsorted(
                deep.doc_nums[slice(*deep.offsets[i : i + 2])], shallow.doc_nums[rows]
            )
            assert np.array_equal(shallow.scores[:, rows], deep.scores[:, at])


def test_rrf_by_hand(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        lists = [
            [hit.doc_id for hit in index.search("parse json", k=10, fusion=branch)]
            for branch in index.branches
        ]
        expected = {
            doc_id: sum(1 / (60 + ids.index(doc_id) + 1) for ids in lists if doc_id in ids)
            for doc_id in DOCUMENTS
        }
        for hit in index.search("parse json", k=5, fusion=rrf()):
            assert hit.score == pytest.approx(expected[hit.doc_id], rel=1e-6)


def test_domain_is_stored_and_used(tiny_copy: Path) -> None:
    with hybrid.open(tiny_copy) as index:
        untuned = index.fusion()
        index.store_domain("python", parse_fusion("dense"), report={"measure": "nDCG@10"})
        assert index.fusion() == untuned
    with hybrid.open(tiny_copy) as index:
        assert str(index.fusion(domain="python")) == "dense"
        assert index.search("json", k=4, domain="python") == index.search(
            "json", k=4, fusion="dense"
        )
        index.store_domain("default", parse_fusion("bm25"))
        assert str(index.fusion()) == "bm25"
        assert set(index.domains) == {"python", "default"}
        with pytest.raises(UsageError, match="'law' was never tuned"):
            index.fusion(domain="law")
        with pytest.raises(UsageError, match="both a fusion and a domain"):
            index.fusion("dense", domain="python")


def test_a_domain_of_a_fusion_that_is_gone_stops_only_the_searches_that_name_it(
    tiny_copy: Path,
) -> None:
    store_domain(tiny_copy, "old", "learned(weights=(dense:1))", {})
    store_domain(tiny_copy, "new", "dense", {})
    with hybrid.open(tiny_copy) as index:
        assert {name: str(fusion) for name, fusion in index.domains.items()} == {"new": "dense"}
        assert index.search("json", domain="new") == index.search("json", fusion="dense")
        assert str(index.fusion()) == "cc(norm=minmax)"
        with pytest.raises(
            UsageError, match=r"domain 'old' was tuned by a version .*tune it again"
        ):
            index.search("json", domain="old")
    store_domain(tiny_copy, "default", "learned(weights=(dense:1))", {})
    with hybrid.open(tiny_copy) as index:
        assert list(system_fusions(index.view(), EvaluateOptions())) == [*index.branches, "rrf"]


@pytest.mark.parametrize(
    ("query", "k", "said"),
    [
        ("", 3, "is empty"),
        ("  \n", 3, "is empty"),
        ("json", 0, "k is 0; give 1 or more"),
        ("json", -1, "k is -1"),
    ],
)
def test_bad_queries_are_refused(tiny_index: Path, query: str, k: int, said: str) -> None:
    with hybrid.open(tiny_index) as index, pytest.raises(UsageError, match=said):
        index.search(query, k=k)


@pytest.mark.parametrize("fusion", [None, "dense", "bm25", "rrf(k=60)"])
def test_more_than_there_is_gives_all_that_there_is(tiny_index: Path, fusion: str | None) -> None:
    with hybrid.open(tiny_index) as index:
        count = len(index)
        every = index.search("json", k=count, fusion=fusion)
        assert index.search("json", k=count + 1, fusion=fusion) == every
        assert index.search("json", k=10**12, fusion=fusion) == every
        assert index.search(["json"], k=count + 1, fusion=fusion)["1"] == every
        assert index.plan(count + 1, fusion=fusion) == index.plan(count, fusion=fusion)
        assert fusion != "dense" or len(every) == count


def test_an_index_without_documents_is_searched_and_gives_nothing(tmp_path: Path) -> None:
    from hybrid.build.create import build_index
    from hybrid.build.options import BuildOptions
    from hybrid.corpus import open_source

    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "only", "text": "merge lists"}\n')
    build_index(open_source(corpus), tmp_path / "idx", BuildOptions(sparse=None, dense=None))
    with hybrid.open(tmp_path / "idx") as index:
        index.delete(["only"])
        assert index.search("merge") == index.search("merge", k=3) == []
        assert len(index.search(["merge", "lists"], k=3)["2"]) == 0


def test_default_k_fits_a_small_index(beir_folder: Path, tmp_path: Path) -> None:
    from hybrid.build.create import build_index
    from hybrid.build.options import BuildOptions
    from hybrid.corpus import open_source

    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "urn:key:1", "text": "merge lists"}\n')
    build_index(open_source(corpus), tmp_path / "one", BuildOptions(sparse=None, dense=None))
    with hybrid.open(tmp_path / "one") as index:
        assert [hit.doc_id for hit in index.search("merge")] == ["urn:key:1"]


def test_a_domain_cannot_hold_a_fusion_of_absent_branches(tiny_copy: Path) -> None:
    with hybrid.open(tiny_copy) as index:
        with pytest.raises(UsageError, match="colbert"):
            index.store_domain("law", parse_fusion("colbert"))
        assert index.domains == {}


def test_words_that_no_document_has_give_no_bm25_hit(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        assert index.search("xylophone", k=3, fusion="bm25") == []
        assert len(index.search("xylophone", k=3, fusion="dense")) == 3


def test_unknown_document_and_branch_are_named(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        with pytest.raises(UsageError, match="no document 'nope'"):
            index.document("nope")
        with pytest.raises(UsageError, match="colbert"):
            index.search("json", fusion="colbert", k=1)
        with pytest.raises(UsageError, match="'dense' is not sparse"):
            index.sparse_encoder("dense")


def test_absent_index_and_ordinary_folder(tmp_path: Path) -> None:
    with pytest.raises(IndexFormatError, match="does not exist"):
        hybrid.open(tmp_path / "none")
    with pytest.raises(IndexFormatError, match="is not an index"):
        hybrid.open(tmp_path)


def test_flipped_byte_is_found_in_every_file(tiny_copy: Path) -> None:
    # LOCK names the last process that changed the index, and nobody reads it as data.
    paths = sorted(
        path
        for path in tiny_copy.rglob("*")
        if path.is_file() and path.stat().st_size and path.name != "LOCK"
    )
    assert len(paths) > 10
    for path in paths:
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        path.write_bytes(flipped)
        with pytest.raises((CorruptIndexError, IndexFormatError)), hybrid.open(tiny_copy) as index:
            index.search("merge json", k=3)
        path.write_bytes(data)
    with hybrid.open(tiny_copy) as index:
        assert index.search("merge json", k=3)


def test_another_format_version_is_refused(tiny_copy: Path) -> None:
    from hybrid.index.storage.disk import checksum

    current = tiny_copy / "CURRENT"
    text = (
        current.read_text().rpartition("checksum ")[0].replace("hybrid-index 1", "hybrid-index 9")
    )
    current.write_text(f"{text}checksum {checksum(text.encode())}\n")
    with pytest.raises(IndexFormatError, match=r"format 9.*reads formats 1 to 2"):
        hybrid.open(tiny_copy)


def test_changed_model_is_refused_with_both_fingerprints(
    tiny_dense: Path, beir_folder: Path, tmp_path: Path
) -> None:
    import shutil

    from hybrid.build.create import build_index
    from hybrid.build.options import BuildOptions
    from hybrid.corpus import open_source

    model = Path(shutil.copytree(tiny_dense, tmp_path / "model"))
    options = BuildOptions(sparse=None, dense=str(model), bm25=False)
    build_index(open_source(beir_folder), tmp_path / "index", options)
    weights = next(model.rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    with (
        hybrid.open(tmp_path / "index") as index,
        pytest.raises(ModelMismatchError, match=r"weights: '[0-9a-f]+' in the index, '[0-9a-f]+'"),
    ):
        index.search("json", k=1)


def test_info_counts_documents_and_bytes(tiny_index: Path) -> None:
    with hybrid.open(tiny_index) as index:
        info = index.info().to_dict()
    assert info["documents"] == len(DOCUMENTS)
    generation = next((tiny_index / "generations").iterdir())
    on_disk = sum(p.stat().st_size for p in generation.rglob("*") if p.is_file())
    assert 0 < info["bytes"] <= on_disk
    assert json.loads(json.dumps(info)) == info


def test_a_model_that_has_moved_is_searched_from_where_it_is(
    tiny_dense: Path, tiny_sparse: Path, beir_folder: Path, tmp_path: Path
) -> None:
    here = Path(shutil.copytree(tiny_dense, tmp_path / "model"))
    options = hybrid.BuildOptions(sparse=None, dense=str(here))
    hybrid.build_index(hybrid.open_source(str(beir_folder)), tmp_path / "idx", options)
    with hybrid.open(tmp_path / "idx") as index:
        expected = index.search("merge sorted lists", fusion="dense")
    here.rename(tmp_path / "moved")
    with (
        hybrid.open(tmp_path / "idx") as index,
        pytest.raises(ModelError, match=r"--model dense=PATH, or hybrid.open\(directory, models="),
    ):
        index.search("merge sorted lists", fusion="dense")
    moved = {"dense": str(tmp_path / "moved")}
    with hybrid.open(tmp_path / "idx", models=moved) as index:
        assert index.search("merge sorted lists", fusion="dense") == expected
    other = Path(shutil.copytree(tiny_dense, tmp_path / "other"))
    weights = other / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with (
        hybrid.open(tmp_path / "idx", models={"dense": str(other)}) as index,
        pytest.raises(ModelMismatchError, match="weights"),
    ):
        index.search("merge sorted lists", fusion="dense")
