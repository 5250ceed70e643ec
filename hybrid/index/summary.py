"""IndexSummary: the contents of an index, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybrid.index.place import Place
from hybrid.index.records import changed_models, figures


@dataclass(frozen=True)
class IndexSummary:
    """The contents of an index.

    Attributes:
        directory: where it lies.
        document_count: documents of the one id space.
        source: the corpus that it was built of.
        size_bytes: all files of the current generation.
        branches: name to kind, model and what was measured at build.
        domains: tuned fusions in their printed form, by name.
        other_models: domain to the branches that have another model now than when it was tuned.
        created: UTC time of the last commit.
        passages: size and overlap of the windows that texts are cut into; None if they are not.
        segments: how many it is made of; one after `compact`.
        deleted: documents that are deleted and still take up room.
        fields: type of each field that filters may name.
    """

    directory: Path | str
    document_count: int
    source: str
    size_bytes: int
    branches: Mapping[str, Mapping[str, Any]]
    domains: Mapping[str, str]
    created: str
    passages: Mapping[str, int] | None = None
    segments: int = 1
    deleted: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    other_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        return {
            "directory": str(self.directory),
            "documents": self.document_count,
            "source": self.source,
            "bytes": self.size_bytes,
            "created": self.created,
            "branches": {
                name: {**branch, "report": figures(branch["report"])}
                for name, branch in self.branches.items()
            },
            "domains": dict(self.domains),
            "other_models": {name: list(each) for name, each in self.other_models.items()},
            "passages": None if self.passages is None else dict(self.passages),
            "segments": self.segments,
            "deleted": self.deleted,
            "fields": dict(self.fields),
        }

    def lines(self) -> list[str]:
        """Return the summary as lines of text."""
        changed = self.segments > 1 or self.deleted > 0
        lines = [
            f"{self.directory}: {self.document_count:,} documents"
            f"{', first built' if changed else ''} of {self.source}, "
            f"{self.size_bytes / 1e6:.1f} MB, {self.created}"
        ]
        if changed:
            segments = "1 segment" if self.segments == 1 else f"{self.segments} segments"
            lines.append(
                f"  {segments}, {self.deleted:,} deleted documents still stored; `hybrid compact` "
                "makes one segment without them and fits BM25 anew"
            )
        if self.fields:
            named = ", ".join(f"{name} ({kind})" for name, kind in self.fields.items())
            lines.append(f"  fields for filters: {named}")
        if self.passages is not None:
            lines.append(
                f"  cut into passages of {self.passages['size']} words, "
                f"{self.passages['overlap']} of them shared with the next"
            )
        for name, branch in self.branches.items():
            lines.append(f"  {name:<8} {branch['kind']:<7} {branch['model']}")
            lines += [f"             {key}: {value}" for key, value in branch["report"].items()]
            if "texts_cut" in branch["report"]:
                lines.append("             build with --passages to index all of the texts cut")
        for name, fusion in self.domains.items():
            lines.append(f"  domain {name!r}: {fusion}")
            if name in self.other_models:
                branches = " and ".join(self.other_models[name])
                lines.append(f"    tuned with another model of {branches}; tune it again")
        return lines


def summarise(directory: Path | str, index: Place) -> IndexSummary:
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
        created=index.generation.created_at,
        passages=None if index.window is None else index.window.to_dict(),
        segments=len(index.segments),
        deleted=sum(index.segments.values()) - index.document_count,
        fields={name: str(kind) for name, kind in index.documents.field_types.items()},
        other_models={
            name: changed
            for name, domain in index.domains.items()
            if (changed := changed_models(domain, index.records))
        },
    )
