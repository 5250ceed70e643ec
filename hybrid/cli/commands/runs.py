"""``hybrid fuse`` and ``hybrid compare``: TREC runs of any system, fused and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.app import app, err, example, print_json, print_result
from hybrid.cli.options import OUT, AsJson, options_of, refuse_given
from hybrid.cli.output import Form, print_tables
from hybrid.errors import UsageError
from hybrid.evaluate.judging import Judging
from hybrid.evaluate.options import MEASURES

if TYPE_CHECKING:
    from hybrid.fusion.run import Run


@app.command(epilog=example('hybrid fuse bm25.trec dense.trec -o fused.trec --fusion "rrf(k=60)"'))
def fuse(
    runs: Annotated[list[Path], typer.Argument(help="TREC run files; a file's stem names it")],
    output: Annotated[Path, typer.Option(*OUT, help="run file, must not exist")],
    fusion: Annotated[str, typer.Option(help="how to combine them")] = "rrf(k=60)",
    k: Annotated[int, typer.Option("-k", "--top-k", help="documents of each query")] = 1000,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SCORE",
            help="the least score that a run's system can give, which norm=tmm reads; 0 where not "
            "given; may be repeated",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fuse TREC runs into one."""
    from hybrid.fusion import fuse_runs, parse_fusion

    least = dict(map(_least, minimum or []))
    fuse_runs(_read(runs), parse_fusion(fusion), k, minimum=least).write_trec(output)
    data = {"output": str(output), "runs": len(runs), "fusion": fusion}
    print_result(data, [f"{output}: {len(runs)} runs fused by {fusion}"], as_json=as_json)


@app.command(epilog=example("hybrid compare bm25.trec dense.trec --qrels qrels.txt"))
@options_of
def compare(
    context: typer.Context,
    runs: Annotated[list[Path], typer.Argument(help="TREC run files; the first is the baseline")],
    judging: Judging,
    qrels: Annotated[Path, typer.Option(help="judgments, TREC or BEIR form")],
    measures: Annotated[
        str, typer.Option(*MEASURES, help="ir_measures names, with commas")
    ] = "nDCG@10",
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", "--against", help="the stem of another baseline"),
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of bootstrap and randomisation")] = 0,
    form: Annotated[Form, typer.Option("--format", help="how to print the table")] = Form.markdown,
    short: Annotated[
        bool,
        typer.Option(
            "--short", help="one row a system: best in bold, a dagger where p (Holm) is under .05"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare runs query by query: intervals, corrected p values, wins, ties and losses."""
    from hybrid.corpus.qrels import read_qrels
    from hybrid.evaluate import compare_runs
    from hybrid.report.tables import comparison_table, paper_table

    if as_json:
        refuse_given(context, ["form"], "beside --json, which prints objects; give one of them")
    found = compare_runs(
        _read(runs),
        read_qrels(qrels),
        measures,
        baseline=baseline,
        seed=seed,
        judging=judging,
    )
    for line in found[0].warnings:
        err.print(f"[bold yellow]warning:[/bold yellow] {line}", soft_wrap=True)
    if as_json:
        print_json([comparison.to_dict() for comparison in found])
        return
    shown = [paper_table(found)] if short else [comparison_table(each) for each in found]
    print_tables(shown, form)


def _least(text: str) -> tuple[str, float]:
    name, _, score = text.rpartition("=")
    try:
        return name, float(score)
    except ValueError as error:
        raise UsageError(f"{text!r} is no NAME=SCORE; give --minimum dense=-1") from error


def _read(paths: list[Path]) -> dict[str, Run]:
    from hybrid.fusion.run import Run
    from hybrid.machine.files import unpacked_name

    stems = [unpacked_name(path).removesuffix(".trec") for path in paths]
    if len(set(stems)) != len(stems):
        raise UsageError(f"two runs are called the same: {', '.join(stems)}; rename one")
    return {stem: Run.read_trec(path) for stem, path in zip(stems, paths, strict=True)}
