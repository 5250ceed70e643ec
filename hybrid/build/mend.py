"""An index with a damaged branch, made whole again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.build.rebuild import RebuildOptions, rebuild_branches
from hybrid.index.verify import repair_index, verify_index
from hybrid.machine.progress import StartProgress, no_progress

if TYPE_CHECKING:
    from hybrid.build.encode import Encoder


@dataclass(frozen=True)
class MendReport:
    """The result of mending an index.

    Attributes:
        rebuilt: the branches that were encoded again; empty if none was.
        before, after: the generations that were current, if an earlier one had to be gone back to.
    """

    rebuilt: tuple[str, ...] = ()
    before: str = ""
    after: str = ""

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        if self.rebuilt:
            return [
                f"encoded {', '.join(self.rebuilt)} again from the stored documents; all segments "
                "are one now, and BM25 is fitted to the documents that there are"
            ]
        if self.after:
            return [f"went back from {self.before or 'nothing'} to {self.after}"]
        return ["nothing needed mending"]


def mend_index(
    directory: str | Path,
    *,
    deep: bool = False,
    go_back: bool = False,
    encoders: Mapping[str, Encoder] | None = None,
    progress: StartProgress = no_progress,
) -> MendReport:
    """Make a damaged index whole and return a report of the steps taken.

    Where only branches are damaged, they are encoded again and no document is lost. Otherwise, or
    with ``go_back``, the newest generation that is whole becomes current, and what was committed
    after it is lost.

    Raises:
        CorruptIndexError: no generation is whole; nothing was changed.
        ModelError: a model that is needed again cannot be loaded; nothing was changed.
        ModelMismatchError: it, or one of ``encoders``, is not what built its branch.
    """
    report = verify_index(directory, deep=deep)
    if report.is_whole:
        return MendReport()
    if report.can_be_rebuilt and not go_back:
        damaged = sorted(report.branches)
        given = {name: each for name, each in (encoders or {}).items() if name in damaged}
        options = RebuildOptions(same_encoders=True)
        rebuild_branches(directory, damaged, options, encoders=given, progress=progress)
        return MendReport(rebuilt=tuple(damaged))
    repaired = repair_index(directory, deep=deep)
    return MendReport(before=repaired.before, after=repaired.after)
