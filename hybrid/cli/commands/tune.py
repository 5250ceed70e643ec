"""``hybrid tune``: judged queries in, the fusion of a domain, or of several, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.app import app, err, example, out, print_json, stoppable
from hybrid.cli.options import (
    AsJson,
    Crowded,
    Dask,
    Device,
    QueryBackend,
    QuerySource,
    Shown,
    executor_of,
    judged_source,
    options_of,
    refuse_given,
)
from hybrid.cli.output import print_tables, progress_bars
from hybrid.corpus import SourceOptions
from hybrid.corpus.checks import check_name
from hybrid.errors import UsageError
from hybrid.index.documents.filters import filter_text
from hybrid.machine.options import option
from hybrid.machine.progress import StartProgress
from hybrid.tune.options import TuneOptions

if TYPE_CHECKING:
    from hybrid.search.index import Index
    from hybrid.tune import DomainsResult, TuneResult
    from hybrid.tune.on_index import DomainTask


@dataclass(frozen=True)
class Kept:
    """The files that a tuning keeps."""

    domain: tuple[str, ...] = option((), "name to store the fusion under, one for each source")
    store: bool = option(True, "store the fusion in the index")
    save_prior: Path | None = option(None, "write what several domains say, for --prior")


@app.command(cls=Crowded, epilog=example("hybrid tune stdlib.idx stdlib --split train"))
@options_of
def tune(
    context: typer.Context,
    index: Annotated[Path, typer.Argument(help="index folder")],
    options: Annotated[TuneOptions, Shown(without=("judged_only",))],
    reading: QuerySource,
    kept: Kept,
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="of judged queries; several, or SOURCE@INDEX, are domains"),
    ] = None,
    prior: Annotated[
        Path | None, typer.Option(help="of other domains, from --save-prior; for few labels")
    ] = None,
    device: Device = "auto",
    backend: QueryBackend = None,
    dask: Dask = None,
    as_json: AsJson = False,
) -> None:
    """Tune the fusion on judged queries and store it; of several, one each and one pooled."""
    from hybrid.search.index import open_index
    from hybrid.tune import Prior
    from hybrid.tune.on_index import tune_index, tune_indexes

    opening = partial(open_index, device=device, backend=backend and backend.value)
    sources = sources or []
    several = len(sources) > 1
    if several:
        refuse_given(
            context,
            ["prior"],
            "with several sources, which are each other's prior; tune one source with it",
        )
    own = "" if several else _one_name(kept.domain)
    for name in kept.domain:
        check_name("the name of a domain", name)
    if kept.save_prior is not None:
        _check_prior_file(kept.save_prior, sources)
    reading = replace(reading, split=options.split)
    if several:
        with (
            _tasks(sources, kept.domain, reading, index, opening) as tasks,
            executor_of(dask) as executor,
            _working(options) as progress,
        ):
            found = tune_indexes(
                tasks, options, store=kept.store, progress=progress, executor=executor
            )
        _print_several(found, options.measure, kept, as_json=as_json)
        return
    with opening(index) as opened:
        known = None if prior is None else Prior.read(prior)
        source = judged_source(sources[0] if sources else None, reading)
        with executor_of(dask) as executor, _working(options) as progress:
            result = tune_index(
                opened, source, options, prior=known, progress=progress, executor=executor
            )
        _finish(opened, own, result, filter_text(options.filter), store=kept.store, as_json=as_json)


@contextmanager
def _tasks(
    sources: list[str],
    domain: Sequence[str],
    reading: SourceOptions,
    index: Path,
    opening: Callable[[Path], Index],
) -> Iterator[list[DomainTask]]:
    """Yield a task for each source, in its own index or in the one that is named first."""
    from hybrid.tune.on_index import DomainTask

    with ExitStack() as stack:
        places = {index.resolve(): stack.enter_context(opening(index))}
        tasks = []
        for spec, name in zip(sources, _names(sources, domain), strict=True):
            text, place = _placed(spec, index)
            if place.resolve() not in places:
                places[place.resolve()] = stack.enter_context(opening(place))
            source = judged_source(text, reading)
            tasks.append(DomainTask(name or source.name, source, places[place.resolve()]))
        yield tasks


def _print_several(found: DomainsResult, measure: str, kept: Kept, *, as_json: bool) -> None:
    from hybrid.report.evaluation import transfer_table
    from hybrid.search.plan import POOLED_DOMAIN

    if kept.save_prior is not None:
        found.prior().write(kept.save_prior)
    names = [*found.results, POOLED_DOMAIN] if kept.store else []
    if as_json:
        print_json({"stored": kept.store, "stored_under": names, **found.to_dict()})
        return
    for line in found.lines():
        out.print(line, markup=False)
    print_tables([transfer_table(found, measure)])
    if names:
        named = " and ".join([", ".join(map(repr, names[:-1])), repr(names[-1])])
        out.print(f"stored under {named}; search uses one with --domain NAME", markup=False)


def _finish(
    index: Index,
    name: str,
    result: TuneResult,
    where: str | None,
    *,
    store: bool,
    as_json: bool,
) -> None:
    from hybrid.search.plan import DEFAULT_DOMAIN

    report = result.to_dict() if where is None else {**result.to_dict(), "filter": where}
    if not as_json:  # before the index refuses to store it, as one that is locked does
        for line in result.lines():
            out.print(line, markup=False)
    if store:
        index.store_domain(name, result.fusion, report=report)
    if as_json:
        absent: dict[str, Any] = {"filter": None, "rerank": None, "warnings": []}
        print_json({"domain": name, "stored": store, **absent, **report})
    elif store:
        used = "" if name == DEFAULT_DOMAIN else f" with --domain {name}"
        out.print(f"stored under the domain {name!r}; search uses it{used}", markup=False)


@contextmanager
def _working(options: TuneOptions) -> Iterator[StartProgress]:
    """Yield the progress of a tuning; Ctrl-C says what was kept."""
    kept = "no trial was kept; give --storage FILE to keep them"
    if options.storage is not None:
        kept = f"finished trials are in {options.storage}; run the same command again to go on"
    with stoppable(f"the index is as it was, and {kept}"), progress_bars(err) as start:
        yield start


def _placed(spec: str, index: Path) -> tuple[str, Path]:
    """Return the source and the index of ``SOURCE@INDEX``; what follows @ must be a folder."""
    text, at, place = spec.rpartition("@")
    return (text, Path(place)) if at and Path(place).is_dir() else (spec, index)


def _one_name(domain: Sequence[str]) -> str:
    from hybrid.search.plan import DEFAULT_DOMAIN, POOLED_DOMAIN

    if domain and len(domain) > 1:
        raise UsageError(f"one fusion was asked for and --domain names {len(domain)}; give one")
    name = domain[0] if domain and domain[0] else DEFAULT_DOMAIN
    if name == POOLED_DOMAIN:
        raise UsageError(
            f"{name!r} names the fusion pooled over several domains; give --domain another name"
        )
    return name


def _check_prior_file(path: Path, sources: list[str]) -> None:
    from hybrid.machine.files import check_new

    if len(sources) < 3 or path.exists():
        raise UsageError("--save-prior needs three sources or more, and a file that does not exist")
    check_new(path)


def _names(sources: list[str], domain: Sequence[str]) -> list[str | None]:
    if not domain:
        return [None] * len(sources)
    if len(domain) != len(sources):
        raise UsageError(
            f"{len(sources)} sources and {len(domain)} names were given; give --domain once for "
            "each source, or not at all"
        )
    return list(domain)
