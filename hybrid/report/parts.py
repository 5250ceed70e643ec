"""Report: sections of sentences, tables and plots, written as one HTML page or plot by plot."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hybrid.errors import require
from hybrid.report.page import SORT, page
from hybrid.report.tables import Table, html_text

PlotFormat: TypeAlias = Literal["svg", "png"]
FORMATS: tuple[PlotFormat, ...] = ("svg", "png")
_IDS = re.compile(r'(\bid="|url\(#|href="#)')
_PLAIN = {"text.parse_math": False}
"""A dollar in the name of a domain is a dollar."""
_BARE = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Plot:
    """A plot that is drawn when it is written.

    Attributes:
        name: of its file, and of its ids in a page.
        caption: what it shows, for those who do not see it.
        draw: returns the matplotlib figure.
    """

    name: str
    caption: str
    draw: Callable[[], Any]

    def svg(self) -> str:
        """Return the SVG element: equal figures give equal bytes, and no two plots share an id."""
        matplotlib = require("matplotlib", extra="report", purpose="a plot")
        buffer = io.StringIO()
        salt = {"svg.hashsalt": self.name, "svg.fonttype": "none"}
        with matplotlib.rc_context(salt | _PLAIN):
            self.draw().savefig(buffer, format="svg", metadata=_BARE)
        drawn = buffer.getvalue()
        return _IDS.sub(rf"\g<1>{self.name}-", drawn[drawn.index("<svg") :])

    def write(self, folder: Path, form: PlotFormat) -> None:
        """Write the plot alone into a folder, under its name."""
        path = folder / f"{self.name}.{form}"
        if form == "svg":
            path.write_text(self.svg(), encoding="utf-8")
        else:
            matplotlib = require("matplotlib", extra="report", purpose="a plot")
            with matplotlib.rc_context(_PLAIN):
                self.draw().savefig(path, format=form, dpi=160)


@dataclass(frozen=True)
class Section:
    """A heading and the sentences, tables and plots below it."""

    title: str
    parts: tuple[str | Table | Plot, ...]

    def html(self) -> Iterator[str]:
        """Yield the section as HTML, its texts escaped."""
        yield f"<section>\n<h2>{html.escape(self.title)}</h2>"
        for part in self.parts:
            if isinstance(part, Table):
                yield html_text(part, kind="sortable")
            elif isinstance(part, Plot):
                caption = html.escape(part.caption)
                yield f'<figure role="img" aria-label="{caption}">{part.svg()}'
                yield f"<figcaption>{caption}</figcaption></figure>"
            else:
                yield f"<p>{html.escape(part)}</p>"
        yield "</section>"


@dataclass(frozen=True)
class Report:
    """The sections of a report under one title."""

    title: str
    sections: tuple[Section, ...]

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Every plot, in order."""
        return tuple(
            part for each in self.sections for part in each.parts if isinstance(part, Plot)
        )

    def html(self) -> str:
        """Return one page that loads nothing; its tables are ordered by a click on a head."""
        return page(
            self.title, (line for each in self.sections for line in each.html()), script=SORT
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the titles of the sections and the names of the plots as JSON data."""
        return {
            "sections": [each.title for each in self.sections],
            "plots": [each.name for each in self.plots],
        }
