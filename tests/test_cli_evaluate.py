"""``hybrid evaluate`` and ``hybrid compare`` beyond the plain table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.cli import output
from hybrid.fusion import Fusion
from hybrid.fusion.run import Run
from hybrid.report.tables import Table
from tests.conftest import QUERIES
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]


def test_everything_that_can_be_asked_is_in_the_object(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path
) -> None:
    asked = ("--against", "bm25", "--slices", "--headroom", "--latency", "3", "--json")
    status, out, err = hybrid_command(
        "evaluate", tiny_index, beir_folder, "--measures", "nDCG@10,RR", *asked
    )
    assert status == 0, err
    found = json.loads(out)
    first, second = found["comparisons"]
    assert (first["measure"], second["measure"], first["baseline"]) == ("nDCG@10", "RR", "bm25")
    dense = first["difference"]["dense"]
    assert {"low", "high", "p_holm", "effect", "wins", "ties", "losses"} <= set(dense)
    assert dense["wins"] + dense["ties"] + dense["losses"] == len(QUERIES)
    assert {each["by"] for each in found["slices"]} == {"words", "overlap"}
    words = [each for each in found["slices"] if each["by"] == "words"]
    assert sum(each["queries"] for each in words) == len(QUERIES)
    mean = sum(each["queries"] * each["means"]["rrf"] for each in words) / len(QUERIES)
    assert mean == pytest.approx(found["systems"]["rrf"]["nDCG@10"])
    assert found["headroom"]["pool oracle"] >= found["headroom"]["best branch"]
    stages = {stage["name"]: stage for stage in found["latency"]}
    parts = [
        f"{what} {name}" for name in ("bm25", "sparse", "dense") for what in ("encode", "search")
    ]
    assert list(stages) == [*parts, "pool", "fuse", "total"]
    total = sum(stage["mean_ms"] for name, stage in stages.items() if name != "total")
    assert stages["total"]["mean_ms"] == pytest.approx(total)


@pytest.mark.parametrize("width", [24, 60, 80, 200])
def test_a_narrow_window_loses_no_cell(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "_width", width)
    measures = ("nDCG@10", "RR@10", "R@100", "AP", "p (Holm)", "wins/ties/losses", "fusion")
    names = ("bm25", "cc(alpha=0.5, norm=tmm, branches=(sparse, dense))", "[x]" * 30)
    rows = tuple(
        (name, *(10 * at + place / 10 for place in range(5)), f"{at}/{at}/5", "a b" if at else None)
        for at, name in enumerate(names)
    )
    table = Table("a title", ("system", *measures), rows)
    output.print_tables([table])
    found = capsys.readouterr().out
    assert max(map(len, found.splitlines())) <= width
    wide = measures[5:] if width > 24 else ("fusion",)
    for cell in (*measures[:4], *wide, *(c for row in table.text() for c in row[1:])):
        assert cell in found
    assert found.count("a title") == 1
    assert found.count("bm25") == found.count("system")
    assert (found.count("system") == 1) == (width == 200)
    assert found.count("[") == found.count("bm25") * 30
    assert "…" not in found


@pytest.mark.parametrize("width", [20, 40, 61])
def test_no_part_of_a_table_is_wider_than_the_window(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "_width", width)
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = [rng.integers(1, 30, rng.integers(1, 8)).tolist() for _ in range(4)]
        texts = [" ".join("x" * size for size in each) for each in sizes]
        numbers = rng.random(5).tolist()
        rows = (
            (texts[0], numbers[0], *texts[2:], *numbers[1:]),
            (texts[1], 1.5, "", "y", *numbers[1:]),
        )
        table = Table("", tuple("abcdefgh"), rows)
        output.print_tables([table])
        found = capsys.readouterr().out
        lines = found.splitlines()
        assert {len(line) for line in lines if line} <= set(range(width + 1))
        assert {line[-1] for line in lines if line} <= set("┓┃┩│┘")
        parts = found.count("┏")
        first = found.count("x") - sum(map(sum, sizes[2:]))
        assert first == parts * sum(map(sum, sizes[:2]))
        assert all(f"{each:.4f}" in found for each in numbers)


def test_a_table_without_rows_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_tables([Table("none", ("system", "AP"), ()), Table("one", ("system",), ())])
    assert "AP" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "json", "html"])
def test_tables_in_every_form(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path, form: str
) -> None:
    arguments = ("--measures", "nDCG@10", "--format", form)
    status, out, err = hybrid_command("evaluate", tiny_index, beir_folder, *arguments)
    assert status == 0, err
    again = hybrid_command("evaluate", tiny_index, beir_folder, *arguments)[1]
    assert out == again
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["system"] for row in rows] == ["bm25", "sparse", "dense", "rrf"]
        assert 0 <= float(rows[0]["nDCG@10"]) <= 1
    elif form == "json":
        (table,) = json.loads(out)
        assert table["rows"][0]["system"] == "bm25"
        out = hybrid_command(
            "evaluate", tiny_index, beir_folder, *arguments, "--against", "bm25", "--headroom"
        )[1]
        titles = [table["title"] for table in json.loads(out)]
        assert len(titles) == 3
        assert "against bm25" in titles[1]
    else:
        assert {"markdown": "| system |", "latex": r"\toprule", "html": "<table>"}[form] in out


def test_expectations_of_the_last_system_and_of_a_named_one(
    hybrid_command: Command, tiny_index: Path, beir_folder: Path
) -> None:
    fixed = ("evaluate", tiny_index, beir_folder, "--fusion", "bm25", "--json")
    _, out, _ = hybrid_command(*fixed)
    value = json.loads(out)["systems"]["bm25"]["nDCG@10"]
    assert list(json.loads(out)["systems"])[-1] == "bm25"
    assert hybrid_command(*fixed, "--expect", f"nDCG@10={value}")[0] == 0
    assert hybrid_command(*fixed, "--expect", f"bm25:nDCG@10={value:.4f}")[0] == 0
    status, out, err = hybrid_command(*fixed, "--expect", "nDCG@10=0.1")
    assert status == 1
    assert json.loads(out)["systems"]
    assert "expectation not met: bm25: nDCG@10 is" in err
    assert hybrid_command("-q", *fixed, "--expect", "nDCG@10=0.1")[2] == err
    assert hybrid_command(*fixed, "--expect", "nDCG@10=0.1", "--tolerance", "1")[0] == 0
    status, out, err = hybrid_command(*fixed, "--expect", "rff:nDCG@10=0.1")
    assert (status, out) == (1, "")
    assert "'rff' was not evaluated" in err


def test_queries_of_a_file_with_its_own_columns_and_encoding(
    hybrid_command: Command, tiny_index: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": "x", "text": "y"}\n')
    queries = tmp_path / "queries.csv"
    rows = "".join(f"{name};{text}\n" for name, (text, _) in QUERIES.items())
    queries.write_bytes(("number,asked\n" + rows.replace(";", ",")).encode("latin-1"))
    qrels = tmp_path / "qrels.txt"
    lines = [f"{q} 0 {d} {g}\n" for q, (_, judged) in QUERIES.items() for d, g in judged.items()]
    qrels.write_text("".join(lines))
    options = ("--queries", queries, "--query-id-column", "number", "--query-text-column", "asked")
    status, out, err = hybrid_command(
        "evaluate",
        tiny_index,
        corpus,
        "--qrels",
        qrels,
        *options,
        "--encoding",
        "latin-1",
        "--json",
    )
    assert status == 0, err
    assert json.loads(out)["queries"] == len(QUERIES)


def test_compare_leaves_out_what_does_not_count(hybrid_command: Command, tmp_path: Path) -> None:
    Run.from_dict({"q": {"q": 3.0, "x": 2.0, "b": 1.0}}).write_trec(tmp_path / "one.trec")
    Run.from_dict({"q": {"b": 3.0, "a": 2.0}}).write_trec(tmp_path / "two.trec")
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q 0 a 1\nq 0 b 2\n")
    fixed = ("compare", tmp_path / "one.trec", tmp_path / "two.trec", "--qrels", qrels, "--json")
    plain = json.loads(hybrid_command(*fixed, "--measures", "RR")[1])[0]
    assert plain["systems"]["one"]["mean"] == pytest.approx(1 / 3)
    assert plain["systems"]["one"]["queries_without_results"] == 0
    some = json.loads(hybrid_command(*fixed, "--measures", "RR", "--drop-own")[1])[0]
    assert some["systems"]["one"]["mean"] == pytest.approx(1 / 2)
    condensed = json.loads(hybrid_command(*fixed, "--measures", "RR", "--judged-only")[1])[0]
    assert condensed["systems"]["one"]["mean"] == 1
    several = (*fixed[:-1], "--measures", "RR,P@1", "--format")
    tables = json.loads(hybrid_command(*several, "json")[1])
    assert [table["title"].split()[0] for table in tables] == ["RR", "P@1"]
    status, out, err = hybrid_command(*several, "json", "--json")
    assert (status, out) == (1, "")
    assert "--format has no effect beside --json" in err
    status, out, err = hybrid_command(*fixed, "--measures", "alpha_nDCG@10")
    assert (status, out) == (1, "") or status == 0
    assert "Traceback" not in err


def test_compare_tells_of_judged_queries_that_a_run_lacks(
    hybrid_command: Command, tmp_path: Path
) -> None:
    Run.from_dict({"q": {"a": 3.0}}).write_trec(tmp_path / "one.trec")
    Run.from_dict({"q": {"b": 3.0}, "p": {"a": 1.0}}).write_trec(tmp_path / "two.trec")
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q 0 a 1\np 0 a 1\n")
    fixed = ("compare", tmp_path / "one.trec", tmp_path / "two.trec", "--qrels", qrels)
    status, out, err = hybrid_command(*fixed, "--measures", "rr,P@1", "--json")
    assert status == 0
    assert json.loads(out)[0]["systems"]["one"]["queries_without_results"] == 1
    assert "one has no results for 1 of 2 judged queries, which count 0" in " ".join(err.split())
    status, out, err = hybrid_command(*fixed, "--baseline", "three")
    assert (status, out) == (1, "")
    assert "baseline 'three' is not among the systems one, two" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--against", "colbert"), "baseline 'colbert' is not among the systems"),
        (("--gains", "cubic"), "give exponential, or grade=gain"),
        (("--measures", "SDCG@10"), "SDCG@10 needs max_rel"),
        (("--headroom", "--measures", "Judged@10"), "cannot be tuned"),
        (("--latency", "-1"), "give 1 or more"),
        (("--headroom", "--judged-only"), "(--judged-only) leaves some out"),
        (("--format", "json", "--json"), "--format has no effect beside --json"),
        (("--format", "markdown", "--json"), "--format has no effect beside --json"),
    ],
)
def test_what_is_refused(
    hybrid_command: Command,
    tiny_index: Path,
    beir_folder: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    status, out, err = hybrid_command("evaluate", tiny_index, beir_folder, *arguments)
    assert (status, out) == (1, "")
    assert said in " ".join(err.split())


def test_tuned_is_what_a_plain_search_takes_also_where_only_a_pooled_fusion_is_stored(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path
) -> None:
    fixed = ("evaluate", tiny_copy, beir_folder, "--measures", "nDCG@10", "--json")
    assert "tuned" not in json.loads(hybrid_command(*fixed)[1])["systems"]
    with hybrid.open(tiny_copy) as index:
        index.store_domain("pooled", Fusion.parse("cc(norm=zscore)"))
    found = json.loads(hybrid_command(*fixed)[1])
    assert found["fusions"]["tuned"] == "cc(norm=zscore)"


def test_latency_searches_as_deep_and_as_narrow_as_the_measures(
    hybrid_command: Command,
    tiny_index: Path,
    beir_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import hybrid.search.latency as latency

    timed: list[int] = []
    plain = latency.stage_latencies

    def noted(view, queries, plan, **named):  # type: ignore[no-untyped-def]
        timed.append(plan.depth)
        return plain(view, queries, plan, **named)

    monkeypatch.setattr(latency, "stage_latencies", noted)
    fixed = ("evaluate", tiny_index, beir_folder, "--latency", "1", "--depth", "3", "--json")
    deep, shallow = ("--fusion", "cc(depth=9)"), ("--fusion", "cc(depth=2)")
    for more, depth in (((), 3), (shallow, 2), (deep, 3)):
        status, _, err = hybrid_command(*fixed, *more)
        assert status == 0, err
        assert timed[-1] == depth
