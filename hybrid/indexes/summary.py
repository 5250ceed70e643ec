"""IndexSummary: what an index holds, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.indexes.hybrid import HybridIndex


@dataclass(frozen=True)
class IndexSummary:
    """What an index holds.

    Attributes:
        directory: where it lies.
        document_count: documents of the one id space.
        source: the corpus that it was built of.
        size_bytes: all files of the current generation.
        branches: name to kind, model and what was measured at build.
        domains: tuned fusions in their printed form, by name.
        created: UTC time of the last commit.
        passages: size and overlap of the windows that texts are cut into; None if they are not.
    """

    directory: Path
    document_count: int
    source: str
    size_bytes: int
    branches: Mapping[str, Mapping[str, Any]]
    domains: Mapping[str, str]
    created: str
    passages: Mapping[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        return {
            "directory": str(self.directory),
            "documents": self.document_count,
            "source": self.source,
            "bytes": self.size_bytes,
            "created": self.created,
            "branches": {name: dict(branch) for name, branch in self.branches.items()},
            "domains": dict(self.domains),
            "passages": None if self.passages is None else dict(self.passages),
        }

    def lines(self) -> list[str]:
        """Return the summary as lines of text."""
        lines = [
            f"{self.directory}: {self.document_count:,} documents of {self.source}, "
            f"{self.size_bytes / 1e6:.1f} MB, {self.created}"
        ]
        if self.passages is not None:
            lines.append(
                f"  cut into passages of {self.passages['size']} words, "
                f"{self.passages['overlap']} of them shared with the next"
            )
        for name, branch in self.branches.items():
            lines.append(f"  {name:<8} {branch['kind']:<7} {branch['model']}")
            lines += [f"             {key}: {value}" for key, value in branch["report"].items()]
        lines += [f"  domain {name!r}: {fusion}" for name, fusion in self.domains.items()]
        return lines


def summarise(directory: Path, index: HybridIndex) -> IndexSummary:
    """Return the summary of an opened index."""
    return IndexSummary(
        directory=directory,
        document_count=index.document_count,
        source=index.source,
        size_bytes=index.generation.size,
        branches={
            name: {
                "kind": record.kind,
                "model": record.encoder["model"],
                "report": dict(record.report),
            }
            for name, record in index.records.items()
        },
        domains={name: domain["fusion"] for name, domain in index.domains.items()},
        created=index.generation.manifest.created_at,
        passages=None if index.window is None else index.window.to_dict(),
    )
