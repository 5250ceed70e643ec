"""The commands around the main job: changes, verification, copies, plain runs, models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hybrid.cli.demo import DemoResult
from hybrid.fusion.run import Run
from hybrid.index.storage.generation import open_generation
from tests.conftest import DOCUMENTS
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]


def new_documents(path: Path, *doc_ids: str) -> Path:
    rows = [{"_id": doc_id, "text": "merge a queue of sockets"} for doc_id in doc_ids]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_add_update_delete_compact(
    hybrid_command: Command, tiny_copy: Path, tmp_path: Path
) -> None:
    source = new_documents(tmp_path / "new.jsonl", "asyncio.Queue")
    status, out, err = hybrid_command("add", tiny_copy, source)
    assert status == 0, err
    assert f"1 added, 0 replaced, 0 deleted; {len(DOCUMENTS) + 1} documents in 2 segments" in out
    assert "bm25: words and statistics are those" in err
    assert f"`hybrid compact {tiny_copy}`" in " ".join(err.split())
    status, _, err = hybrid_command("add", tiny_copy, source)
    assert status == 1
    assert "in the index already" in err
    assert "--update" in err
    _, out, _ = hybrid_command("add", tiny_copy, source, "--update")
    assert "0 added, 1 replaced" in out
    _, out, _ = hybrid_command("search", tiny_copy, "queue socket", "-k", "1", "--fusion", "dense")
    _, out, _ = hybrid_command("delete", tiny_copy, "asyncio.Queue", "re.match")
    assert f"2 deleted; {len(DOCUMENTS) - 1} documents" in out
    status, _, err = hybrid_command("delete", tiny_copy, "re.match")
    assert status == 1
    assert "no document 're.match'" in err
    _, out, _ = hybrid_command("info", tiny_copy)
    assert "documents, first built of" in out
    assert "1 segment, 1 deleted documents still stored; `hybrid compact`" in " ".join(out.split())
    _, out, err = hybrid_command("compact", tiny_copy)
    assert f"{len(DOCUMENTS) - 1} documents in 1 segment\n" in out
    assert "nothing to do" not in err
    assert "words and statistics" not in err
    _, out, err = hybrid_command("compact", tiny_copy)
    assert "documents in 1 segment\n" in out
    assert "nothing to do" in err
    status, _, err = hybrid_command("compact", tiny_copy, "--cache", tmp_path)
    assert (status, "--cache has no effect without --purge" in err) == (1, True)
    _, out, _ = hybrid_command("compact", tiny_copy, "--purge")
    assert "forgotten in the cache: " in out
    assert len(list((tiny_copy / "generations").iterdir())) == 1
    _, out, _ = hybrid_command("info", tiny_copy)
    assert f"{len(DOCUMENTS) - 1} documents of" in out
    assert "`hybrid compact`" not in out


def test_verify_finds_a_flipped_byte_and_repair_goes_back(
    hybrid_command: Command, tiny_copy: Path, tmp_path: Path
) -> None:
    status, out, _ = hybrid_command("verify", tiny_copy, "--deep")
    assert status == 0
    assert "whole" in out
    hybrid_command("add", tiny_copy, new_documents(tmp_path / "new.jsonl", "x"))
    newest = max((tiny_copy / "generations").iterdir(), key=lambda folder: folder.name)
    path = next(path for path in (newest / "segments" / "000002").rglob("*.npy"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    status, out, _ = hybrid_command("verify", tiny_copy, "--json")
    assert status == 1
    assert any(path.name in problem for problem in json.loads(out)["problems"])
    status, out, err = hybrid_command("verify", tiny_copy, "--go-back")
    assert (status, out) == (1, "")
    assert "--go-back has no effect without --repair" in err
    status, _, err = hybrid_command("verify", tiny_copy, "--repair", "--go-back")
    assert status == 0, err
    assert "went back from 0" in err
    _, out, _ = hybrid_command("info", tiny_copy, "--json")
    assert json.loads(out)["documents"] == len(DOCUMENTS)


def test_a_damaged_branch_is_encoded_again(
    hybrid_command: Command, tiny_copy: Path, tmp_path: Path
) -> None:
    query = ("search", tiny_copy, "merge sorted lists", "-k", "3", "--json")
    expected = hybrid_command(*query)[1]
    path = next(tiny_copy.glob("generations/*/segments/000001/dense/vectors.npy"))
    path.write_bytes(path.read_bytes()[:-1])
    status, _, err = hybrid_command(*query)
    assert status == 1
    assert "hybrid verify --repair" in err
    status, out, err = hybrid_command("verify", tiny_copy, "--repair")
    assert status == 0, err
    assert "encoded dense again from the stored documents" in err
    assert "whole" in out
    assert hybrid_command(*query)[1] == expected
    both = ("rebuild", tiny_copy, "--branch", "sparse", "--branch", "bm25")
    status, out, err = hybrid_command(*both)
    assert status == 0, err
    assert "branch bm25" in out
    assert hybrid_command(*query)[1] == expected
    status, _, err = hybrid_command(*both, "--model", "x")
    assert status == 1
    assert "--model and its options are for one branch" in err


def test_another_model_is_named_by_rebuild(
    hybrid_command: Command, tiny_copy: Path, tiny_dense: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_dense, tmp_path / "model")
    weights = next(model.rglob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    command = ("rebuild", tiny_copy, "--branch", "dense")
    status, out, err = hybrid_command(*command, "--model", model)
    assert status == 0, err
    assert f"documents encoded by {model}" in out
    _, out, _ = hybrid_command(*command, "--max-length", "12", "--query-prompt", "q: ")
    with open_generation(tiny_copy) as generation:
        made = generation.content["branches"]["dense"]["fingerprint"]
    assert (made["max_length"], made["query_prompt"], made["document_prompt"]) == (12, "q: ", "")
    status, _, err = hybrid_command(*command, "--document-terms", "9")
    assert status == 1
    assert "of sparse models alone" in err
    status, _, err = hybrid_command(*command, "--branch", "sparse", "--max-length", "9")
    assert status == 1
    assert "for one branch, but 2 are named" in err
    status, _, err = hybrid_command("search", tiny_copy, "json", "--fusion", "dense", "-k", "1")
    assert status == 0, err
    data[-2] ^= 2
    weights.write_bytes(data)
    status, _, err = hybrid_command("search", tiny_copy, "json", "--fusion", "dense", "-k", "1")
    assert status == 1
    assert re.search(r"weights: '[0-9a-f]{64}' in the index, '[0-9a-f]{64}' now", err)
    status, _, err = hybrid_command(*command)
    assert status == 1
    assert "hybrid rebuild --model" in err


def test_pushed_and_pulled(hybrid_command: Command, tiny_index: Path, tmp_path: Path) -> None:
    assert hybrid_command("push", tiny_index, f"file://{tmp_path}/far")[0] == 0
    assert hybrid_command("pull", f"file://{tmp_path}/far", tmp_path / "near")[0] == 0
    query = ("merge sorted lists", "-k", "3", "--json")
    expected = hybrid_command("search", tiny_index, *query)[1]
    assert hybrid_command("search", tmp_path / "near", *query)[1] == expected
    status, _, err = hybrid_command("push", tiny_index, f"file://{tmp_path}/far")
    assert status == 1
    assert "exists, and nothing is overwritten" in err
    status, _, err = hybrid_command("pull", "nonsense://x", tmp_path / "x")
    assert status == 1
    assert "nonsense://x cannot be read" in err


def test_snapshot_and_restore(hybrid_command: Command, tiny_index: Path, tmp_path: Path) -> None:
    assert hybrid_command("snapshot", tiny_index, tmp_path / "copy")[0] == 0
    assert hybrid_command("restore", tmp_path / "copy", tmp_path / "back")[0] == 0
    query = ("merge sorted lists", "-k", "3", "--json")
    expected = hybrid_command("search", tiny_index, *query)[1]
    assert hybrid_command("search", tmp_path / "back", *query)[1] == expected
    status, _, err = hybrid_command("snapshot", tiny_index, tmp_path / "copy")
    assert status == 1
    assert "exists" in err


def test_fuse_and_compare_plain_runs(hybrid_command: Command, tmp_path: Path) -> None:
    Run.from_dict({"q": {"a": 2.0, "b": 1.0}}).write_trec(tmp_path / "one.trec")
    Run.from_dict({"q": {"b": 2.0, "c": 1.0}}).write_trec(tmp_path / "two.trec")
    runs = (tmp_path / "one.trec", tmp_path / "two.trec")
    status, _, err = hybrid_command("fuse", *runs, "-o", tmp_path / "fused.trec")
    assert status == 0, err
    fused = Run.read_trec(tmp_path / "fused.trec")
    assert fused.doc_ids("q")[0] == "b"
    assert fused.scores("q")[0] == pytest.approx(1 / 62 + 1 / 61, rel=1e-6)
    (tmp_path / "qrels").write_text("q 0 b 1\n")
    status, out, err = hybrid_command(
        "compare", *runs, "--qrels", tmp_path / "qrels", "--measures", "RR@10"
    )
    assert status == 0, err
    assert "0.5000" in out
    assert "1.0000" in out


def test_fuse_takes_the_least_score_of_a_run(hybrid_command: Command, tmp_path: Path) -> None:
    Run.from_dict({"q": {"a": -1.0, "b": -4.0}}).write_trec(tmp_path / "logs.trec")
    Run.from_dict({"q": {"c": 2.0}}).write_trec(tmp_path / "bm25.trec")
    command = ("fuse", tmp_path / "logs.trec", tmp_path / "bm25.trec", "--fusion", "cc(norm=tmm)")
    status, _, err = hybrid_command(*command, "-o", tmp_path / "no.trec")
    assert status != 0
    assert "the run holds -4; give the least score" in err
    status, _, err = hybrid_command(*command, "-o", tmp_path / "f", "--minimum", "logs=-5")
    assert status == 0, err
    assert Run.read_trec(tmp_path / "f").to_dict()["q"] == {"c": 0.5, "a": 0.5, "b": 0.125}
    for wrong, message in (
        ("logs", "is no NAME=SCORE"),
        ("log=0", "of no run"),
        ("logs=nan", "no n"),
    ):
        status, _, err = hybrid_command(*command, "-o", tmp_path / "no", "--minimum", wrong)
        assert status != 0
        assert message in err


def test_expectation_fails_the_command(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path
) -> None:
    command = ("evaluate", tiny_index, beir_folder, "--measures", "RR@10", "--json")
    _, out, _ = hybrid_command(*command)
    value = json.loads(out)["systems"]["bm25"]["RR@10"]
    assert hybrid_command(*command, "--expect", f"bm25:RR@10={value:.4f}")[0] == 0
    status, out, err = hybrid_command(*command, "--expect", f"bm25:RR@10={value - 0.1:.4f}")
    assert status == 1
    assert "expectation not met: bm25: RR@10 is" in " ".join(err.split())


def test_models_are_listed_and_exported(
    hybrid_command: Command, tiny_dense: Path, tmp_path: Path
) -> None:
    _, out, _ = hybrid_command("models", "list")
    assert "builtin:minilm" in out
    assert hybrid_command("models", "export", tiny_dense, tmp_path / "model")[0] == 0
    assert (tmp_path / "model" / "modules.json").is_file()
    assert hybrid_command("models", "export", tiny_dense, tmp_path / "model")[0] == 1


def test_train_two_steps_then_build_with_the_model(
    hybrid_command: Command, tiny_sparse: Path, beir_folder: Path, tmp_path: Path
) -> None:
    status, out, err = hybrid_command(
        "train", beir_folder, "-o", tmp_path / "run", "--from", tiny_sparse,
        "--steps", "2", "--batch-size", "2", "--max-length", "16",
    )  # fmt: skip
    assert status == 0, err
    assert "2 steps over" in out
    model = tmp_path / "run" / "model"
    status, out, err = hybrid_command(
        "build", beir_folder, "-o", tmp_path / "index", "--sparse", model, "--dense", "none"
    )
    assert status == 0, err
    status, _, err = hybrid_command(
        "train", beir_folder, "-o", tmp_path / "x", "--recipe", "magic", "--from", tiny_sparse
    )
    assert status == 1
    assert "magic" in err


def test_train_mines_scores_and_tells_how_it_goes(
    hybrid_command: Command, tiny_sparse: Path, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    command = (
        "train", beir_folder, "-o", tmp_path / "run", "--from", tiny_sparse, "--steps", "2",
        "--batch-size", "2", "--max-length", "16", "--mine", tiny_index, "--mine-fusion", "bm25",
        "--mine-count", "2", "--teacher", "hybrid:bm25=1,dense=2", "--recipe", "ensemble-distil",
        "--held-out", "2", "--query-weight", "0.01", "--document-weight", "0.02",
        "--temperature", "2", "--negatives", "1", "--warmup", "0.5", "--device", "cpu",
    )  # fmt: skip
    status, _, err = hybrid_command(*command)
    assert status == 0, err
    assert "step 0: dev nDCG@10" in err
    assert "step 2: dev nDCG@10" in err
    assert "SparseDistillKLDivLoss" in err
    assert "FLOPS" in err
    saved = json.loads((tmp_path / "run" / "train.json").read_text())
    assert saved["config"]["teachers"] == ["hybrid:bm25=1,dense=2"]
    assert saved["config"]["document_weight"] == 0.02
    status, _, err = hybrid_command(
        "train", beir_folder, "-o", tmp_path / "y", "--teacher", "hybrid"
    )
    assert status == 1
    assert "mine" in err


def test_interrupted_training_says_how_to_go_on(
    hybrid_command: Command,
    tiny_sparse: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hybrid.training.callbacks import Log

    def interrupt(self: Log, args: object, state: object, control: object, **_: object) -> None:
        raise KeyboardInterrupt

    command = (
        "train", beir_folder, "-o", tmp_path / "run", "--from", tiny_sparse, "--steps", "3",
        "--batch-size", "2", "--max-length", "16", "--checkpoint-steps", "1",
    )  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(Log, "on_save", interrupt)
        status, _, err = hybrid_command(*command)
    assert status == 130
    assert "checkpoint-1" in err.replace("\n", "")
    assert "run the same command again" in err
    status, out, err = hybrid_command(*command)
    assert status == 0, err
    assert "3 steps over" in out


def test_search_filters_by_a_field(hybrid_command: Command, tmp_path: Path) -> None:
    rows = [{"_id": f"d{year}", "text": "merge lists", "year": year} for year in (2019, 2020, 2021)]
    source = tmp_path / "corpus.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--sparse", "none", "--dense", "none", "--fields", "year")
    status, _, err = hybrid_command("build", source, "-o", tmp_path / "index", *options)
    assert status == 0, err
    command = ("search", tmp_path / "index", "merge", "-k", "3", "--json")
    _, out, _ = hybrid_command(*command, "--filter", "year >= 2020")
    assert {hit["doc_id"] for hit in json.loads(out)["hits"]} == {"d2020", "d2021"}
    status, _, err = hybrid_command(*command, "--filter", "year >=")
    assert status == 1
    assert "year" in err


def test_passages_and_typed_fields_from_build_to_evaluate(
    hybrid_command: Command, tmp_path: Path
) -> None:
    long = "queue " * 9 + "merge sorted lists " + "heap " * 9
    lines = [f"d{year},{long if year == 2020 else 'merge'},{year}" for year in (2019, 2020, 2021)]
    source = tmp_path / "corpus.csv"
    source.write_text("id,text,year\n" + "\n".join(lines) + "\nbad,x,soon\n")
    options = ("--sparse", "none", "--dense", "none", "--fields", "year:int")
    index = tmp_path / "index"
    status, out, err = hybrid_command(
        "build", source, "-o", index, *options, "--passages", "4", "--overlap", "1", "--skip-bad"
    )
    assert status == 0, err
    assert "3 documents in 9 passages" in out
    assert f"skipped 1 unusable field ({source}, line 5)" in err
    _, out, _ = hybrid_command("info", index)
    assert "cut into passages of 4 words, 1 of them shared with the next" in out
    command = ("search", index, "merge sorted lists", "--json", "--filter")
    _, out, _ = hybrid_command(*command, "year >= 2020")
    assert [hit["doc_id"] for hit in json.loads(out)["hits"]] == ["d2020", "d2021"]
    best = json.loads(out)["hits"][0]["passages"][0]
    assert best["number"] == 4
    assert best["branches"] == ["bm25"]
    assert best["text"] == "merge sorted lists heap" == long[best["start"] : best["stop"]]
    _, out, _ = hybrid_command("search", index, "merge sorted lists", "-k", "1")
    assert "merge sorted lists heap" in out
    assert "queue" not in out
    _, out, _ = hybrid_command("explain", index, "sorted lists", "d2020")
    assert ", by passage 4" in out
    (tmp_path / "queries.tsv").write_text("q\tmerge\n")
    (tmp_path / "qrels").write_text("q 0 d2020 1\n")
    command = (
        "evaluate", index, source, "--queries", tmp_path / "queries.tsv",
        "--qrels", tmp_path / "qrels", "--measures", "RR@10", "--json",
    )  # fmt: skip
    _, out, _ = hybrid_command(*command)
    assert json.loads(out)["systems"]["bm25"]["RR@10"] == pytest.approx(1 / 3)
    _, out, _ = hybrid_command(*command, "--filter", "year == 2020")
    assert json.loads(out)["systems"]["bm25"]["RR@10"] == 1
    source.write_text(f"id,text,year\nnew,{long},2022\nworse,x,soon\n")
    status, out, err = hybrid_command("add", index, source, "--fields", "year:int", "--skip-bad")
    assert status == 0, err
    assert "1 added" in out
    assert "line 3" in err
    _, out, _ = hybrid_command("delete", index, "new")
    assert "3 documents" in out


def test_add_keeps_the_fields_that_the_index_has(tmp_path, hybrid_command):
    source = tmp_path / "old.csv"
    source.write_text("id,text,year,lang\na,coffee roasting,2019,en\n")
    index = tmp_path / "idx"
    status, _, err = hybrid_command(
        "build", source, "-o", index, "--bm25", "--fields", "year:int,lang"
    )
    assert status == 0, err
    source.write_text("id,text,year,lang\na,coffee roasting,2024,en\nb,coffee beans,2025,de\n")
    status, _, err = hybrid_command("add", index, source, "--update")
    assert status == 0, err
    command = ("search", index, "coffee", "--json", "--filter")
    _, out, _ = hybrid_command(*command, "year >= 2024 and lang == 'en'")
    assert [hit["doc_id"] for hit in json.loads(out)["hits"]] == ["a"]
    hybrid_command("add", index, source, "--update", "--fields", "lang")
    _, out, _ = hybrid_command(*command, "lang == 'de'")
    assert [hit["doc_id"] for hit in json.loads(out)["hits"]] == ["b"]
    source.write_text("id,text,year\nc,coffee,soon\n")
    status, _, err = hybrid_command("add", index, source)
    assert status == 1
    assert "year" in err
    assert "soon" in err
    source.write_text("id,text,year\nc,coffee,2026\n")  # a table may lack fields of the index
    status, _, err = hybrid_command("add", index, source)
    assert status == 0, err
    _, out, _ = hybrid_command(*command, "year == 2026")
    assert [hit["doc_id"] for hit in json.loads(out)["hits"]] == ["c"]


def test_a_build_ends_with_one_line_and_the_figures_are_logged(
    hybrid_command: Command,
    beir_folder: Path,
    tiny_sparse: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = ("--sparse", tiny_sparse, "--dense", "none", "--no-cache")
    status, out, _ = hybrid_command("build", beir_folder, "-o", tmp_path / "a", *options)
    assert status == 0
    line = rf"{tmp_path}/a: 10 documents, branches bm25, sparse, \d+\.\d MB, \d+ s\n"
    assert re.fullmatch(line, out)
    assert "quantisation" not in caplog.text
    status, out, _ = hybrid_command("-v", "build", beir_folder, "-o", tmp_path / "b", *options)
    assert (status, out.count("\n")) == (0, 1)
    assert "quantisation_max_abs_error" in caplog.text


def test_tuning_says_when_search_uses_it(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path
) -> None:
    tune = ("tune", tiny_copy, beir_folder, "--trials", "0")
    assert hybrid_command(*tune)[1].endswith("domain 'default'; search uses it\n")
    out = hybrid_command(*tune, "--domain", "mine")[1]
    assert out.endswith("domain 'mine'; search uses it with --domain mine\n")


def test_the_demo_ends_by_naming_the_commands_that_go_on() -> None:
    nothing: Any = type("Nothing", (), {"lines": staticmethod(list)})
    told = DemoResult(Path("stdlib.idx"), False, nothing, nothing, ()).lines()[-5:]
    shown = Path("docs/results/demo.txt").read_text(encoding="utf-8").splitlines()
    assert told == shown[-5:]
    assert [line.split()[1] for line in told[1:]] == ["search", "explain", "report", "serve"]
