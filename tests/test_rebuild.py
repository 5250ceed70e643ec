"""Branches encoded again from the stored documents, and the way back from damage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybrid.build.mend import mend_index
from hybrid.build.rebuild import RebuildOptions, rebuild_branches
from hybrid.corpus import Passages
from hybrid.errors import CorruptIndexError, ModelMismatchError, UsageError
from hybrid.index.change import Change, store_domain
from hybrid.index.storage.generation import open_generation
from hybrid.index.storage.writer import new_generation
from hybrid.index.verify import verify_index
from hybrid.search.index import Index
from tests.made_encoders import HashDense, HashSparse, small_shards
from tests.test_living import ENCODERS, assert_same, document
from tests.test_passages import build, long_document

ALL = ("bm25", "sparse", "dense")


def living(directory: Path, window: Passages | None = None) -> tuple[Index, Index]:
    """Return an index of two segments with deletions, BM25 included, and a fresh one like it."""
    make = document if window is None else long_document
    index = build(directory / "idx", [make(number) for number in range(20)], window=window)
    index.add(make(number) for number in range(20, 28))
    index.delete(["d0003", "d0024"])
    live = [make(number) for number in range(28) if number not in (3, 24)]
    return index, build(directory / "fresh", live, window=window)


def folder(index_dir: Path) -> Path:
    with open_generation(index_dir, check_sizes=False) as generation:
        return generation.directory


def ruin(index_dir: Path, branches: Iterable[str], how: str) -> None:
    for branch in branches:
        for path in (folder(index_dir)).rglob(f"{branch}/**/*.*"):
            if how == "missing":
                path.unlink()
            else:
                path.write_bytes(b"ruined" if how == "cut" else bytes(path.stat().st_size))


@pytest.mark.parametrize("how", ["missing", "cut", "zeros"])
@pytest.mark.parametrize("branches", [("sparse",), ("dense",), ("bm25",), ALL])
def test_a_ruined_branch_comes_back_to_the_bit(
    tmp_path: Path, branches: tuple[str, ...], how: str
) -> None:
    _, fresh = living(tmp_path)
    ruin(tmp_path / "idx", branches, how)
    assert verify_index(tmp_path / "idx").branches == set(branches)
    report = rebuild_branches(
        tmp_path / "idx", branches, encoders={n: e for n, e in ENCODERS.items() if n in branches}
    )
    assert set(report.branches) == set(branches)
    assert report.document_count == 26
    index = Index(tmp_path / "idx", encoders=ENCODERS)
    assert index.contents.segments == {"000003": 26}
    # BM25 that was not rebuilt keeps the statistics of the first build.
    assert_same(index, fresh, branches=[n for n in ALL if n != "bm25" or n in branches])
    assert verify_index(tmp_path / "idx", deep=True).is_whole
    assert sorted(path.name for path in (tmp_path / "idx").iterdir()) == [
        "CURRENT", "LOCK", "generations",
    ]  # fmt: skip


def test_passages_are_rebuilt_as_they_were_cut(tmp_path: Path) -> None:
    _, fresh = living(tmp_path, Passages(4, 1))
    ruin(tmp_path / "idx", ALL, "cut")
    rebuild_branches(tmp_path / "idx", ALL, encoders=ENCODERS)
    assert_same(Index(tmp_path / "idx", encoders=ENCODERS), fresh, branches=ALL)


def test_another_encoder_takes_the_place_of_the_first(tmp_path: Path) -> None:
    index, _ = living(tmp_path)
    index.store_domain("python", index.fusion("rrf(k=9)"))
    before = index.search("merge sort", k=5, fusion="bm25")
    wider = HashDense(20)
    wider.fingerprint["dimension"] = 20
    rebuild_branches(tmp_path / "idx", ["dense"], encoders={"dense": wider})
    with pytest.raises(ModelMismatchError, match="dimension: 20 in the index, None now"):
        Index(tmp_path / "idx", encoders=ENCODERS).search("merge", k=1, fusion="dense")
    found = Index(tmp_path / "idx", encoders={**ENCODERS, "dense": wider})
    live = [document(number) for number in range(28) if number not in (3, 24)]
    query = wider.encode_queries(["merge sort"])[0]
    expected = {
        each.doc_id: float(wider.encode_documents([each.full_text])[0] @ query) for each in live
    }
    for hit in found.search("merge sort", k=26, fusion="dense"):
        assert hit.score == pytest.approx(expected[hit.doc_id], abs=1e-6)
    assert found.search("merge sort", k=5, fusion="bm25") == before
    assert str(found.fusion(domain="python")) == "rrf(k=9)"
    found.add([document(90)])
    assert len(found) == 27


def other_dense() -> HashDense:
    """Return an encoder of the same width as the first, which gives other numbers."""
    other = HashDense()
    other.fingerprint["seed"] = 1
    return other


def test_a_handle_opened_before_adds_no_rows_of_the_old_model(tmp_path: Path) -> None:
    index, _ = living(tmp_path)
    index.search("merge", k=1)  # loads and checks every encoder
    rebuild_branches(tmp_path / "idx", ["dense"], encoders={"dense": other_dense()})
    current = (tmp_path / "idx" / "CURRENT").read_bytes()
    for change in (index.add, index.update):
        with pytest.raises(
            ModelMismatchError, match=r"'dense'.*seed: 1 in the index, None now.*open it again"
        ):
            change([document(90)])
    assert (tmp_path / "idx" / "CURRENT").read_bytes() == current
    index.reopen()
    with pytest.raises(ModelMismatchError, match="seed: 1 in the index, None now"):
        index.search("merge", k=1, fusion="dense")
    index.search("merge", k=1, fusion="bm25")
    found = Index(tmp_path / "idx", encoders={**ENCODERS, "dense": other_dense()})
    assert found.add([document(90)]).added == 1


def test_domains_are_stale_where_a_model_changed(tmp_path: Path) -> None:
    index, _ = living(tmp_path)
    index.store_domain("python", index.fusion("rrf(k=9)"))
    same = rebuild_branches(tmp_path / "idx", ["dense", "bm25"], encoders={"dense": HashDense()})
    assert same.stale_domains == ()
    other = rebuild_branches(tmp_path / "idx", ["dense"], encoders={"dense": other_dense()})
    assert other.stale_domains == ("python",)


def test_only_domains_that_use_the_branch_are_stale(tmp_path: Path) -> None:
    index, _ = living(tmp_path)
    for name, fusion in (
        ("words", "bm25"),
        ("both", "cc(branches=(bm25, sparse))"),
        ("all", "rrf(k=9)"),
        ("vectors", "dense"),
    ):
        index.store_domain(name, index.fusion(fusion))
    report = rebuild_branches(tmp_path / "idx", ["dense"], encoders={"dense": other_dense()})
    assert report.stale_domains == ("all", "vectors")
    assert report.lines()[1] == "domain 'all' was tuned with another model; tune it again"
    report = rebuild_branches(tmp_path / "idx", ["sparse"], encoders={"sparse": HashSparse(50)})
    assert report.stale_domains == ("all", "both")
    store_domain(tmp_path / "idx", "gone", "learned(weights=(dense:1))", {})
    report = rebuild_branches(tmp_path / "idx", ["bm25"])
    assert report.stale_domains == ("gone",)


def test_another_model_leaves_the_options_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = living(tmp_path)
    index.close()
    first = {
        "model": "first", "revision": "r1", "query_prompt": "query: ",
        "document_prompt": "passage: ", "max_length": 64,
    }  # fmt: skip
    with new_generation(tmp_path / "idx", create=False) as generation:
        change = Change(generation)
        change.merge(list(change.segment_sizes))
        change.update_record("dense", replace(change.index.record("dense"), encoder=first))
        change.commit()
    loaded: list[dict[str, Any]] = []

    def load(kind: str, described: Mapping[str, Any]) -> HashDense:
        loaded.append(dict(described))
        return HashDense()

    monkeypatch.setattr("hybrid.build.rebuild.load_encoder", load)
    rebuild_branches(tmp_path / "idx", ["dense"], RebuildOptions(models={"dense": "first"}))
    rebuild_branches(tmp_path / "idx", ["dense"], RebuildOptions(models={"dense": "second"}))
    kept = {key: each for key, each in first.items() if key != "revision"}
    assert loaded == [kept, {"model": "second"}]
    assert Index(tmp_path / "idx").contents.record("dense").encoder == loaded[1]
    third = {"max_length": 32, "query_prompt": "q: "}
    rebuild_branches(
        tmp_path / "idx",
        ["dense"],
        RebuildOptions(models={"dense": "third"}, model_options={"dense": third}),
    )
    rebuild_branches(
        tmp_path / "idx", ["dense"], RebuildOptions(model_options={"dense": {"query_prompt": ""}})
    )
    assert loaded[2:] == [
        {"model": "third", **third},
        {"model": "third", "max_length": 32, "query_prompt": ""},
    ]
    assert Index(tmp_path / "idx").contents.record("dense").encoder == loaded[3]


@pytest.mark.parametrize(
    ("named", "model_options", "given", "message"),
    [
        (["dense"], {"dense": {"depth": 1}}, False, "depth of branch 'dense': no option"),
        (["dense"], {"sparse": {"max_length": 9}}, False, "model or options: sparse"),
        (["bm25"], {"bm25": {"max_length": 9}}, False, "is BM25, which has no model"),
        (
            ["dense"],
            {"dense": {"max_length": 9}},
            True,
            "given an encoder, and a model or options too",
        ),
    ],
)
def test_options_that_no_model_has_are_refused(
    tmp_path: Path, named: list[str], model_options: dict[str, Any], given: bool, message: str
) -> None:
    living(tmp_path)
    current = (tmp_path / "idx" / "CURRENT").read_bytes()
    encoders = {"dense": HashDense()} if given else None

    def rebuild() -> None:
        options = RebuildOptions(model_options=model_options)
        rebuild_branches(tmp_path / "idx", named, options, encoders=encoders)

    with pytest.raises(UsageError, match=message):
        rebuild()
    assert (tmp_path / "idx" / "CURRENT").read_bytes() == current


class Interrupting(HashSparse):
    """Dies after some documents, and counts those that it encodes."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.encoded = 0

    def encode_documents(self, texts, progress=None):  # type: ignore[no-untyped-def]
        if self.encoded >= self.after:
            raise KeyboardInterrupt
        self.encoded += len(texts)
        return super().encode_documents(texts, progress)

    def encode_queries(self, texts):  # type: ignore[no-untyped-def]
        return super().encode_documents(texts)


def test_an_interrupted_rebuild_goes_on_and_other_writers_keep_its_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, fresh = living(tmp_path)
    small_shards(monkeypatch, 10)
    with pytest.raises(KeyboardInterrupt):
        rebuild_branches(tmp_path / "idx", ["sparse"], encoders={"sparse": Interrupting(20)})
    index.store_domain("python", index.fusion("rrf(k=9)"))
    index.delete([])
    last = Interrupting(1000)
    rebuild_branches(tmp_path / "idx", ["sparse"], encoders={"sparse": last})
    assert last.encoded == 6
    assert_same(Index(tmp_path / "idx", encoders=ENCODERS), fresh)
    assert not (tmp_path / "idx" / "workspace").exists()


class Sparse2(HashDense):
    """Dense rows for a sparse branch."""


def test_what_cannot_be_rebuilt_is_said_and_changes_nothing(tmp_path: Path) -> None:
    index, _ = living(tmp_path)
    current = (tmp_path / "idx" / "CURRENT").read_bytes()
    with pytest.raises(UsageError, match="no branch 'other'"):
        rebuild_branches(tmp_path / "idx", ["other"])
    with pytest.raises(UsageError, match="name at least one"):
        rebuild_branches(tmp_path / "idx", [])
    with pytest.raises(UsageError, match="name at least one"):
        rebuild_branches(tmp_path / "idx", ["dense"], RebuildOptions(models={"sparse": "x"}))
    with pytest.raises(UsageError, match="given as an object"):
        rebuild_branches(tmp_path / "idx", ["dense"])
    with pytest.raises(UsageError, match="BM25, which has no model"):
        rebuild_branches(tmp_path / "idx", ["bm25"], RebuildOptions(models={"bm25": "x"}))
    with pytest.raises(UsageError, match="is sparse, but its encoder gives dense"):
        rebuild_branches(tmp_path / "idx", ["sparse"], encoders={"sparse": Sparse2()})
    ruin(tmp_path / "idx", ["dense"], "zeros")
    with pytest.raises(CorruptIndexError, match=r"dense.*damaged"):
        rebuild_branches(tmp_path / "idx", ["sparse"], encoders={"sparse": HashSparse()})
    assert (tmp_path / "idx" / "CURRENT").read_bytes() == current
    index.delete(index.contents.doc_ids)
    with pytest.raises(UsageError, match="no documents"):
        rebuild_branches(tmp_path / "idx", ["bm25"])


# Mending


def test_mending_rebuilds_and_loses_nothing(tmp_path: Path) -> None:
    _, fresh = living(tmp_path)
    assert mend_index(tmp_path / "idx").lines() == ["nothing needed mending"]
    ruin(tmp_path / "idx", ["dense"], "zeros")
    report = mend_index(tmp_path / "idx", encoders=ENCODERS)
    assert report.lines() == [
        "encoded dense again from the stored documents; all segments are one now, and BM25 is "
        "fitted to the documents that there are"
    ]
    assert_same(Index(tmp_path / "idx", encoders=ENCODERS), fresh)


def test_mending_takes_no_other_model(tmp_path: Path) -> None:
    living(tmp_path)
    ruin(tmp_path / "idx", ["dense", "bm25"], "zeros")
    current = (tmp_path / "idx" / "CURRENT").read_bytes()
    with pytest.raises(ModelMismatchError, match="seed: None in the index, 1 now"):
        mend_index(tmp_path / "idx", encoders={"dense": other_dense()})
    assert (tmp_path / "idx" / "CURRENT").read_bytes() == current
    assert mend_index(tmp_path / "idx", encoders=ENCODERS).rebuilt == ("bm25", "dense")


def test_mending_goes_back_where_documents_are_lost_or_when_told(tmp_path: Path) -> None:
    index, _ = living(tmp_path)
    index.add([document(50)])
    newest = folder(tmp_path / "idx")
    with (newest / "segments" / "000003" / "documents" / "texts.arrow").open("r+b") as file:
        file.truncate(100)
    report = mend_index(tmp_path / "idx", encoders=ENCODERS)
    assert report.before == newest.name
    assert len(Index(tmp_path / "idx", encoders=ENCODERS)) == 26

    Index(tmp_path / "idx", encoders=ENCODERS).add([document(51)])
    path = next((folder(tmp_path / "idx") / "segments").glob("*[!12]/dense/vectors.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert mend_index(tmp_path / "idx", go_back=True).after
    assert len(Index(tmp_path / "idx", encoders=ENCODERS)) == 26


def test_deep_problems_are_those_of_their_branch(tmp_path: Path) -> None:
    from tests.test_verify import rewrite

    def change(array: NDArray[np.float32]) -> None:
        array[0, 0] = np.nan

    _, fresh = living(tmp_path)
    rewrite(tmp_path / "idx", "segments/000001/dense/vectors.npy", change)
    report = verify_index(tmp_path / "idx", deep=True)
    assert (report.branches, report.can_be_rebuilt) == ({"dense"}, True)
    mend_index(tmp_path / "idx", deep=True, encoders=ENCODERS)
    assert_same(Index(tmp_path / "idx", encoders=ENCODERS), fresh)
