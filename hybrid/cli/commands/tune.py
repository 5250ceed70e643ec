"""``hybrid tune``: judged queries in, the fusion of a domain, or of several, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.app import StoppedError, app, err, example, out, print_json
from hybrid.cli.options import (
    Device,
    Filter,
    QuerySource,
    Shown,
    options_of,
    refuse_given,
)
from hybrid.cli.output import print_tables, progress_bars
from hybrid.corpus import open_source
from hybrid.errors import UsageError
from hybrid.evaluate.judging import Judging

if TYPE_CHECKING:
    from collections.abc import Callable

    from hybrid.search.index import Index
    from hybrid.tune import Plan, TuneResult


class Sampler(str, Enum):
    """How Optuna proposes."""

    tpe = "tpe"
    gp = "gp"


@app.command(epilog=example("hybrid tune stdlib.idx stdlib --split train"))
@options_of
def tune(
    context: typer.Context,
    index: Annotated[Path, typer.Argument(help="index folder")],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="where queries and judgments come from; several are several domains, each "
            "SOURCE@INDEX where it has an index of its own"
        ),
    ],
    reading: QuerySource,
    judging: Annotated[Judging, Shown(without=("judged_only",))],
    split: Annotated[str, typer.Option(help="which judged queries to tune on")] = "train",
    measure: Annotated[str, typer.Option(help="what to maximise")] = "nDCG@10",
    domain: Annotated[
        list[str] | None,
        typer.Option(help="the name to store the fusion under, one a source; default: default"),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="how many fusions Optuna tries in each search; 0 searches only the exact lines "
            "between two branches"
        ),
    ] = None,
    sampler: Annotated[Sampler, typer.Option(help="how Optuna proposes")] = Sampler.tpe,
    folds: Annotated[int, typer.Option(help="parts of the cross-validation")] = 5,
    repeats: Annotated[int, typer.Option(help="how often it is repeated")] = 2,
    storage: Annotated[
        Path | None,
        typer.Option(
            help="keep finished trials in this file, .journal (faster) or .db (SQLite); the same "
            "command goes on after a stop"
        ),
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="seconds for all trials together")] = None,
    jobs: Annotated[int, typer.Option(help="processes that the folds run in")] = 1,
    prune: Annotated[
        bool, typer.Option("--prune", help="stop hopeless trials by Wilcoxon's test")
    ] = False,
    per_query: Annotated[
        bool,
        typer.Option("--per-query", help="learn a weight for each query, kept only if it wins"),
    ] = False,
    prior: Annotated[
        Path | None, typer.Option(help="what other domains say, from --save-prior; for few labels")
    ] = None,
    save_prior: Annotated[
        Path | None, typer.Option(help="of several domains: write what they say of every fusion")
    ] = None,
    depth: Annotated[int, typer.Option(help="how deep each branch searches")] = 1000,
    where: Filter = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="seed of folds and sampler")] = 0,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="store the fusion in the index")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Tune the fusion on judged queries, report what held out, store it under a domain name.

    Several sources are several domains: one fusion each, the transfer between them, and a pooled
    fusion for domains that nobody judged.
    """
    from hybrid.machine.files import check_new
    from hybrid.report.evaluation import transfer_table
    from hybrid.search.index import open_index
    from hybrid.search.plan import DEFAULT_DOMAIN, POOLED_DOMAIN
    from hybrid.tune import Plan, Prior
    from hybrid.tune.on_index import DomainTask, tune_index, tune_indexes

    if len(sources) > 1:
        refuse_given(
            context,
            ["prior"],
            "with several sources, which are each other's prior; tune one source with it",
        )
    own = _one_name(domain) or DEFAULT_DOMAIN if len(sources) < 2 else ""
    if own == POOLED_DOMAIN:
        raise UsageError(
            f"{own!r} names the fusion pooled over several domains; give --domain another name"
        )
    plan = Plan(
        folds=folds,
        repeats=repeats,
        sampler=sampler.value,
        storage=storage,
        prune=prune,
        timeout=timeout,
        jobs=jobs,
        per_query=per_query,
    )
    plan = plan if trials is None else replace(plan, trials=trials)
    if save_prior is not None and (len(sources) < 3 or save_prior.exists()):
        raise UsageError("--save-prior needs three sources or more, and a file that does not exist")
    if save_prior is not None:
        check_new(save_prior)
    read = partial(open_source, options=replace(reading, split=split))
    with ExitStack() as stack:
        opened = stack.enter_context(open_index(index, device=device))
        if len(sources) < 2:
            known = None if prior is None else Prior.read(prior)
            with _working(plan, 1) as progress:
                result = tune_index(
                    opened,
                    read(sources[0]),
                    split=split,
                    measure=measure,
                    plan=plan,
                    depth=depth,
                    seed=seed,
                    judging=judging,
                    prior=known,
                    filter=where,
                    progress=progress,
                )
            _finish(opened, own, result, where, store=store, as_json=as_json)
            return
        places = {index.resolve(): opened}
        tasks = []
        for spec, name in zip(sources, _names(sources, domain), strict=True):
            text, place = _placed(spec, index)
            if place.resolve() not in places:
                other = open_index(place, device=device)
                places[place.resolve()] = stack.enter_context(other)
            source = read(text)
            tasks.append(DomainTask(name or source.name, source, places[place.resolve()]))
        with _working(plan, len(tasks)) as progress:
            several = tune_indexes(
                tasks,
                split=split,
                measure=measure,
                plan=plan,
                depth=depth,
                seed=seed,
                judging=judging,
                filter=where,
                store=store,
                progress=progress,
            )
    if save_prior is not None:
        several.prior().write(save_prior)
    if as_json:
        print_json({"stored": store, **several.to_dict()})
        return
    for line in several.lines():
        out.print(line, markup=False)
    print_tables([transfer_table(several, measure)])


def _finish(
    index: Index,
    name: str,
    result: TuneResult,
    where: str | None,
    *,
    store: bool,
    as_json: bool,
) -> None:
    report = result.to_dict() if where is None else {**result.to_dict(), "filter": where}
    if store:
        index.store_domain(name, result.fusion, report=report)
    if as_json:
        print_json({"domain": name, "stored": store, **report})
        return
    for line in result.lines():
        out.print(line, markup=False)
    if store:
        out.print(f"stored under the domain {name!r}; search uses it", markup=False)


@contextmanager
def _working(plan: Plan, domains: int) -> Iterator[Callable[[int], None]]:
    """Yield a bar over all trials; Ctrl-C says what was kept."""
    try:
        with progress_bars(err) as start:
            yield start("tuning", plan.steps * domains)
    except KeyboardInterrupt:
        kept = "no trial was kept; give --storage FILE to keep them"
        if plan.storage is not None:
            kept = f"finished trials are in {plan.storage}; run the same command again to go on"
        raise StoppedError(f"interrupted; the index is as it was, and {kept}") from None


def _placed(spec: str, index: Path) -> tuple[str, Path]:
    """Return the source and the index of ``SOURCE@INDEX``; what follows @ must be a folder."""
    text, at, place = spec.rpartition("@")
    return (text, Path(place)) if at and Path(place).is_dir() else (spec, index)


def _one_name(domain: list[str] | None) -> str | None:
    if domain and len(domain) > 1:
        raise UsageError(f"one fusion was asked for and --domain names {len(domain)}; give one")
    return domain[0] if domain else None


def _names(sources: list[str], domain: list[str] | None) -> list[str | None]:
    if not domain:
        return [None] * len(sources)
    if len(domain) != len(sources):
        raise UsageError(
            f"{len(sources)} sources and {len(domain)} names were sources; give --domain once for "
            "each source, or not at all"
        )
    return list(domain)
