from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hybrid
from hybrid.cli import main
from hybrid.fusion.run import Run
from tests.conftest import DOCUMENTS, QUERIES

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hybrid_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs ``hybrid ARGUMENTS`` in this process; returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hybrid", *map(str, arguments)])
        status: object = 0
        try:
            main()
        except SystemExit as error:
            status = error.code
        captured = capsys.readouterr()
        return int(status or 0), captured.out, captured.err  # type: ignore[call-overload]

    return run


def test_build_then_search_then_info(
    hybrid_command: Command, beir_folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    options = ("--sparse", "none", "--dense", "none")
    status, out, _ = hybrid_command("build", beir_folder, "-o", index, *options)
    assert status == 0
    assert f"{len(DOCUMENTS)} documents" in out
    status, out, _ = hybrid_command("search", index, "merge sorted lists", "-k", "2")
    assert status == 0
    assert "heapq.merge" in out.splitlines()[0]
    status, out, _ = hybrid_command("info", index, "--json")
    assert json.loads(out)["documents"] == len(DOCUMENTS)


def test_search_json_is_one_object(hybrid_command: Command, tiny_index: Path) -> None:
    _, out, _ = hybrid_command("search", tiny_index, "parse json", "-k", "3", "--json")
    found = json.loads(out)
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["query"] == "parse json"


def test_a_search_that_finds_nothing_says_so_on_stderr(
    hybrid_command: Command, tiny_index: Path
) -> None:
    command = ("search", tiny_index, "xylophone", "--fusion", "bm25")
    assert hybrid_command(*command) == (0, "", "nothing found by bm25\n")
    status, out, err = hybrid_command(*command, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["hits"] == []


def test_tune_stores_a_domain_that_evaluate_reports(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path
) -> None:
    status, out, err = hybrid_command(
        "tune", tiny_copy, beir_folder, "--split", "train", "--trials", "5", "--json"
    )
    assert status == 0, err
    tuned = json.loads(out)
    assert tuned["verdict"] in {"fusion", "default", "branch"}
    status, out, err = hybrid_command(
        "evaluate", tiny_copy, beir_folder, "--measures", "nDCG@10,RR@10", "--json"
    )
    assert status == 0, err
    report = json.loads(out)
    assert set(report["systems"]) == {"bm25", "sparse", "dense", "rrf", "tuned"}
    assert set(report["systems"]["tuned"]) == {"nDCG@10", "RR@10"}
    assert report["fusions"]["tuned"] == tuned["fusion"]
    assert report["queries"] == len(QUERIES)


def test_ids_are_printed_as_they_are(hybrid_command: Command, tmp_path: Path) -> None:
    source = tmp_path / "corpus.jsonl"
    source.write_text('{"_id": "urn:key:1", "text": "merge lists"}\n')
    options = ("--sparse", "none", "--dense", "none")
    hybrid_command("build", source, "-o", tmp_path / "index", *options)
    _, out, _ = hybrid_command("search", tmp_path / "index", "merge")
    assert "urn:key:1" in out


def test_run_file_holds_the_fusion_that_was_named(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bm25.trec"
    hybrid_command("evaluate", tiny_index, beir_folder, "--fusion", "bm25", "--run", path)
    written = Run.read_trec(path)
    with hybrid.open(tiny_index) as index:
        queries = {query_id: QUERIES[query_id][0] for query_id in written}
        assert written == index.search(queries, k=10, fusion="bm25")


def test_the_queries_of_a_file_are_searched_into_a_run(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    path, queries = tmp_path / "all.trec", beir_folder / "queries.jsonl"
    (blank := tmp_path / "blank.jsonl").write_text('{"_id": "a", "text": " "}\n')
    asked = ("--queries", queries, "-k", 3, "--fusion", "rrf(k=60)")
    status, out, _ = hybrid_command("search", tiny_index, *asked, "-o", path)
    assert (status, out) == (0, f"{path}: {len(QUERIES)} queries, ranked by rrf(k=60)\n")
    texts = {query_id: text for query_id, (text, _) in QUERIES.items()}
    with hybrid.open(tiny_index) as index:
        assert Run.read_trec(path) == index.search(texts, 3, fusion="rrf(k=60)")
    assert hybrid_command("search", tiny_index, *asked, "-o", path)[0] == 1  # the file exists
    for more, told in (
        (asked, "give one query"),
        (("merge", *asked), "give one query"),
        (("-o", tmp_path / "no.trec"), "give one query"),
        ((*asked, "-o", tmp_path / "no.trec", "--json"), "--json has no effect beside --queries"),
        (("merge", "--dask", "local:1"), "--dask has no effect without --queries"),
        ((*asked, "-o", tmp_path / "no.trec.gz"), "give a name without .gz"),
        (("--queries", blank, "-o", tmp_path / "no.trec"), "out with --skip-bad"),
        (("--queries", blank, "--skip-bad", "-o", tmp_path / "no.trec"), "holds no queries"),
    ):
        status, _, errors = hybrid_command("search", tiny_index, *more)
        assert status != 0
        assert told in " ".join(errors.split())
    assert not (tmp_path / "no.trec").exists()


def test_evaluate_writes_a_run_that_measures_the_same(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    import pytrec_eval

    path = tmp_path / "dense.trec"
    arguments = ("--fusion", "cc(alpha=0.3, norm=tmm, branches=(bm25, dense))", "--run", path)
    status, out, err = hybrid_command("evaluate", tiny_index, beir_folder, *arguments, "--json")
    assert status == 0, err
    name, measures = list(json.loads(out)["systems"].items())[-1]
    assert name == "cc(alpha=0.3, norm=tmm, branches=(bm25, dense))"
    qrels = {query_id: judged for query_id, (_, judged) in QUERIES.items()}
    scored = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10"}).evaluate(
        Run.read_trec(path).to_dict()
    )
    mean = sum(query["ndcg_cut_10"] for query in scored.values()) / len(qrels)
    assert measures["nDCG@10"] == pytest.approx(mean, abs=1e-6)


def test_explain_shares_sum_to_the_score(hybrid_command: Command, tiny_index: Path) -> None:
    status, out, err = hybrid_command(
        "explain", tiny_index, "merge sorted lists", "heapq.merge", "--json"
    )
    assert status == 0, err
    (found,) = json.loads(out)["explanations"]
    total = sum(branch["share"] for branch in found["branches"])
    assert total + found.get("tie_break", 0.0) == pytest.approx(found["score"], abs=1e-9)
    kinds = {
        branch["branch"]: {term["term"]: term["kind"] for term in branch["terms"]}
        for branch in found["branches"]
    }
    assert kinds["bm25"] == dict.fromkeys(("merg", "sort", "list"), "literal")
    assert any(kind != "literal" for kind in kinds["sparse"].values())


def test_explain_a_document_that_no_branch_returned(
    hybrid_command: Command, tiny_index: Path
) -> None:
    status, out, err = hybrid_command(
        "explain", tiny_index, "merge", "socket.socket", "--fusion", "bm25", "--json"
    )
    assert status == 0, err
    (found,) = json.loads(out)["explanations"]
    assert (found["rank"], found["score"], found["missed"]["cause"]) == (None, None, "depth")


def test_export_writes_integer_weights(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "vectors"
    status, _, err = hybrid_command(
        "export", tiny_index, "--to", "anserini", target, "--queries", beir_folder
    )
    assert status == 0, err
    lines = (target / "documents" / "part-00000.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["id"] for row in rows} == set(DOCUMENTS)
    assert all(isinstance(w, int) and w > 0 for row in rows for w in row["vector"].values())
    assert len((target / "queries.tsv").read_text().splitlines()) == len(QUERIES)


@pytest.mark.parametrize(
    "command",
    [
        "verify",
        "tune stdlib",
        "add stdlib",
        "delete a",
        "compact",
        "rebuild --branch dense",
        "export {tmp}/x",
        "push {tmp}/x",
        "snapshot {tmp}/x",
        "report stdlib -o {tmp}/r.html",
    ],
)
def test_an_address_for_a_command_that_needs_a_folder(
    hybrid_command: Command, command: str, tmp_path: Path
) -> None:
    name, *more = command.format(tmp=tmp_path).split()
    status, out, err = hybrid_command(name, "postgresql://me:s3cret@host/db", *more)
    assert (status, out) == (1, "")
    assert "postgresql://..., was given, and this needs an index in a folder" in " ".join(
        err.split()
    )
    assert "s3cret" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "no-such-dataset", "-o", "{tmp}/x"), "no-such-dataset"),
        (("build", "{tmp}/none.jsonl", "-o", "{tmp}/x"), "does not exist"),
        (
            ("build", "{beir}", "-o", "{index}/CURRENT/x", "--sparse", "none", "--dense", "none"),
            "the path cannot be used",
        ),
        (
            ("build", "{beir}", "-o", "{tmp}/" + "x" * 300, "--sparse", "none", "--dense", "none"),
            "the path cannot be used",
        ),
        (("build", "x" * 5000, "-o", "{tmp}/x"), "is neither a file"),
        (("build", "{beir}", "-o", "{tmp}/x", "--dense", "x" * 5000), "is neither a folder"),
        (("build", "{beir}", "-o", "{tmp}/x", "--overlap", "3"), "--passages"),
        (("build", "{beir}", "-o", "{tmp}/x", "--passages", "3", "--overlap", "3"), "0 to 2"),
        (
            ("build", "{beir}", "-o", "{tmp}/x", "--dense", "none", "--query-prompt", "q: "),
            "no dense model",
        ),
        (("snapshot", "{index}", "{index}/CURRENT/x"), "the path cannot be used"),
        (("models", "export", "builtin:splade", "{index}/CURRENT/x"), "cannot be written"),
        (("search", "{index}/CURRENT/x", "query"), "does not exist"),
        (("search", "x" * 5000, "query"), "cannot be read"),
        (("search", "{tmp}/none", "query"), "does not exist"),
        (("evaluate", "{index}", "{beir}", "--filter", "year >="), "year"),
        (("rebuild", "{index}", "--branch", "none"), "no branch 'none'"),
        (("search", "{index}", ""), "is empty"),
        (("search", "{index}", "json", "-k", "0"), "k is 0"),
        (("search", "{index}", "json", "-k", "3", "--fusion", "magic(1)"), "magic"),
        (("search", "{index}", "json", "-k", "3", "--domain", "law"), "never tuned"),
        (("explain", "{index}", "json", "nope"), "no document 'nope'"),
        (("evaluate", "{index}", "{beir}", "--split", "dev"), "dev"),
        (("evaluate", "{index}", "{beir}", "--measures", "nGCD@10"), "nGCD"),
        (("evaluate", "{index}", "{beir}", "--run", "{tmp}/a/b"), "a/b cannot be written"),
        (("evaluate", "{index}", "{beir}", "--per-query", "{beir}"), "exists"),
        (
            ("evaluate", "{index}", "{beir}", "--run", "{tmp}/o", "--per-query", "{tmp}/./o"),
            "give each a file of its own",
        ),
        (("tune", "{index}", "{beir}", "--split", "dev"), "dev"),
        (("export", "{index}", "{beir}"), "exists"),
    ],
)
def test_bad_input_is_an_error_on_stderr_and_changes_nothing(
    hybrid_command: Command,
    tiny_copy: Path,
    beir_folder: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    places = {"tmp": tmp_path, "index": tiny_copy, "beir": beir_folder}
    status, out, err = hybrid_command(*(argument.format(**places) for argument in arguments))
    assert status == 1
    assert out == ""
    assert said in " ".join(err.split())
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_every_command_has_an_example_in_its_help(hybrid_command: Command) -> None:
    from hybrid.cli import application

    commands = application().registered_commands
    names = [command.name or command.callback.__name__ for command in commands]
    assert {"build", "search", "tune", "evaluate", "info", "doctor", "demo"} <= set(names)
    for name in names:
        _, out, _ = hybrid_command(name, "--help")
        assert f"Example: hybrid {name}" in " ".join(out.split())


def test_module_runs_and_help_is_quick_to_import() -> None:
    code = (
        "import sys; sys.argv = ['hybrid', '--help']\n"
        "from hybrid.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ['torch', 'faiss', 'numba', 'optuna', 'scipy', 'hybrid.search.index',\n"
        "    'hybrid.evaluate.evaluation', 'hybrid.tune.tuner', 'hybrid.build.create']\n"
        "heavy = [m for m in heavy if m in sys.modules]\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout
