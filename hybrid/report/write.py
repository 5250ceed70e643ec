"""The report of an index: gathered from it and from judged queries, written as a page or plots."""

from __future__ import annotations

import os
from pathlib import Path

from hybrid.corpus.judged import JudgedQueries, as_judged
from hybrid.errors import OutputExistsError, UsageError, require
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.systems import check_asked, evaluate_systems
from hybrid.machine.files import check_new
from hybrid.machine.outputs import new_output
from hybrid.report.contents import (
    contents_section,
    expansions_section,
    sparsity_section,
    tuning_sections,
)
from hybrid.report.parts import FORMATS, PlotFormat, Report, Section
from hybrid.report.quality import quality_sections
from hybrid.search.index import Index


def make_report(
    index: Index, source: JudgedQueries | None = None, options: EvaluateOptions | None = None
) -> Report:
    """Return the report of an index: what it holds, and how it does on judged queries.

    Args:
        index: is not changed.
        source: of queries and judgments, see `as_judged`; None for what the index alone can tell.
        options: which queries, systems and measures.

    Raises:
        UsageError: an unknown domain, fusion, field or measure.
        CorpusError: the split has no judged query.
        MissingPackageError: matplotlib is not installed.
    """
    require("matplotlib.figure", extra="report", purpose="a report")
    view, options = index.view(), options or EvaluateOptions()
    if not len(view):
        raise UsageError(f"{index.directory} holds no documents; there is nothing to report")
    found: list[Section | None] = [contents_section(view.local)]
    if source is not None:
        check_asked(view, options)
        found += quality_sections(view, evaluate_systems(index, as_judged(source), options))
    found += [*tuning_sections(view.local), sparsity_section(view), expansions_section(view)]
    return Report(f"Report of {index.directory}", tuple(each for each in found if each is not None))


def write_report(
    index: Index,
    path: str | Path,
    source: JudgedQueries | None = None,
    options: EvaluateOptions | None = None,
) -> Report:
    """Write the report of an index as one HTML file that opens offline, and return it.

    Args:
        index: is not changed.
        path: of the file, which must not exist yet. It appears whole or not at all.
        source, options: those of `make_report`, whose errors are raised, too.

    Raises:
        OutputExistsError: ``path`` exists.
    """
    check_new(path)
    report = make_report(index, source, options)
    with new_output(Path(path)) as file:
        file.write_text(report.html(), encoding="utf-8")
    return report


def write_plots(
    index: Index,
    folder: str | Path,
    source: JudgedQueries | None = None,
    options: EvaluateOptions | None = None,
    *,
    form: PlotFormat = "svg",
) -> Report:
    """Write each plot of the report alone into a new folder, and return the report.

    Args:
        index: is not changed.
        folder: which must not exist yet. It appears whole or not at all.
        source, options: those of `make_report`, whose errors are raised, too.
        form: "svg" or "png".

    Raises:
        OutputExistsError: ``folder`` exists.
        UsageError: another format.
    """
    if form not in FORMATS:
        raise UsageError(f"the format of a plot is {form!r}; give {' or '.join(FORMATS)}")
    check_folder(folder)
    report = make_report(index, source, options)
    with new_output(Path(folder)) as target:
        target.mkdir()
        for plot in report.plots:
            plot.write(target, form)
    return report


def check_folder(folder: str | Path) -> None:
    """Do nothing where `write_plots` could make ``folder``.

    Raises:
        OutputExistsError: it exists.
    """
    if os.path.lexists(folder):
        raise OutputExistsError(f"{folder} exists; give a folder that does not exist yet")
