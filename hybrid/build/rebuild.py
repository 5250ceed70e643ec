"""Rebuild: branches encoded again from the stored documents, as one commit.

For a branch whose files are damaged, and for a branch that is to have another model. The other
branches keep their rows, and all segments become one on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.build.create import measured
from hybrid.build.records import BM25, GIVEN, check_unchanged, load_encoder, model_record
from hybrid.errors import ModelMismatchError, UsageError
from hybrid.fusion import parse_fusion
from hybrid.index.change import Change, StoredRows, dense_plan, sparse_plan
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import BranchRecord
from hybrid.index.segment_writer import BranchPlan
from hybrid.index.storage.writer import new_generation
from hybrid.machine.cache import CacheChoice, chosen_cache
from hybrid.machine.memory import Allowance
from hybrid.machine.progress import StartProgress, no_progress

if TYPE_CHECKING:
    from hybrid.build.encode import Encoder
    from hybrid.build.shards import Shards


MODEL_OPTIONS = (
    "revision",
    "max_length",
    "query_prompt",
    "document_prompt",
    "document_terms",
    "query_terms",
    "min_weight",
)
"""How a model is loaded, in words of `hybrid.encoders`; the terms are of sparse models alone."""


@dataclass(frozen=True)
class RebuildReport:
    """What a rebuild did.

    Attributes:
        branches: the branches that were encoded again, with their records.
        document_count: documents in the index.
        stale_domains: domains whose fusion uses a branch that has another model now.
        alarms: what looks wrong about a rebuilt sparse branch.
    """

    branches: Mapping[str, BranchRecord]
    document_count: int
    stale_domains: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = [
            f"branch {name}: {self.document_count:,} documents encoded by {record.encoder['model']}"
            for name, record in self.branches.items()
        ]
        lines += [
            f"domain {name!r} was tuned with another model; tune it again"
            for name in self.stale_domains
        ]
        return lines + [f"alarm: {alarm}" for alarm in self.alarms]


def rebuild_branches(
    directory: str | Path,
    branches: Iterable[str],
    *,
    models: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    encoders: Mapping[str, Encoder] | None = None,
    same_encoders: bool = False,
    cache: CacheChoice = True,
    memory: int | None = None,
    progress: StartProgress = no_progress,
) -> RebuildReport:
    """Encode some branches again from the stored documents and return what they are now.

    Their files are not read, so they may be damaged or gone; all else must be whole. Interrupted,
    it goes on from its last finished shard.

    Args:
        directory: the index.
        branches: names of branches.
        models: by branch, another model to encode with; default: the one that built the branch.
            Another model takes its own length, prompts and terms, unless ``options`` says more.
        options: by branch, how its model is loaded: any of `MODEL_OPTIONS`. The model that built
            the branch keeps those that it had, but for those named here.
        encoders: by branch, encoders as objects; each takes the place of what built the branch.
        same_encoders: refuse encoders as objects that are not what built the branch.
        cache: as in `BuildOptions`.
        memory: bytes that the process may hold, Python and models included; None for no limit.
        progress: shows how far it is.

    Raises:
        UsageError: no branch, one that is not there, a model for one that is not named, or an
            option that a model does not have.
        ModelMismatchError: the model is no longer what built the branch, and none of ``models``,
            ``options`` and ``encoders`` says more; or an object is another, with ``same_encoders``.
        CorruptIndexError: something else is damaged; nothing was changed.
        IndexLockedError: another writer is at work.
        MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        StorageError: the disk is full or failing; nothing was changed.
    """
    from hybrid.build.encode import encode_corpus
    from hybrid.build.survey import branch_alarms, survey_branches, unread_of_branches
    from hybrid.encoders.models.fingerprint import differences

    names = list(dict.fromkeys(branches))
    models, encoders, options = models or {}, encoders or {}, _checked(options or {})
    changed = {*models, *encoders, *options}
    if not names or not changed <= set(names):
        raise UsageError(
            f"the branches to rebuild are {', '.join(names) or 'none'}; name at least one, and "
            f"those that get a model or options: {', '.join(sorted(changed)) or 'none'}"
        )
    with new_generation(directory, create=False, damaged=True) as generation:
        change = Change(generation)
        index = change.index
        if not index.document_count:
            raise UsageError(f"{directory} holds no documents to encode; add some first")
        chosen = {name: _encoder(index, name, models, options, encoders) for name in names}
        change.allowance = allowance = Allowance.of(memory)  # of what the models leave
        progress = allowance.watching(progress)
        if same_encoders:
            fixed = {
                n: each for n, each in encoders.items() if index.record(n).encoder["model"] != BM25
            }
            check_unchanged(index, fixed)
        for name in index.branches:
            if name not in names and index.generation.names(f"{name}/encoder"):
                index.generation.folder(f"{name}/encoder")  # taken over, so it must be whole
        shards = encode_corpus(
            iter(index.documents),
            generation.workspace,
            {name: encoder for name, (encoder, _) in chosen.items()},
            allowance=allowance,
            passages=index.window,
            cache=chosen_cache(cache),
            progress=progress("encoding", index.document_count),
        )
        for name in names:
            _refuse_other_kind(index.record(name), shards.branches[name].kind, name)
        surveyed = {name: encoder for name, (encoder, _) in chosen.items()}
        surveys = survey_branches(shards, surveyed)
        unread = unread_of_branches(shards, surveyed)
        reports = change.merge(
            list(change.segment_sizes),
            rows=_RebuiltRows(index, shards, allowance),
            plans={name: _plan(index.record(name), shards, name) for name in names},
            progress=progress,
        )
        records = {}
        for name in names:
            before, report = index.record(name), reports[name]
            records[name] = replace(
                before,
                encoder=chosen[name][1],
                fingerprint=shards.branches[name].fingerprint,
                report=(
                    measured(report, surveys.get(name))
                    if before.kind == "sparse"
                    else report | {"vectors": before.report.get("vectors", "flat")}
                )
                | (unread[name].figures() if name in unread else {}),
            )
        for name, record in records.items():
            change.update_record(name, record)
            if shards.branches[name].is_bm25:
                shards.bm25(name).save(change.state_folder(name))
        others = {
            name
            for name, record in records.items()
            if not shards.branches[name].is_bm25  # whose statistics are not a model
            and differences(dict(index.record(name).fingerprint), dict(record.fingerprint))
        }
        stale = tuple(
            domain
            for domain, stored in index.domains.items()
            if others & set(parse_fusion(stored["fusion"]).branch_names(index.branches))
        )
        change.commit()
    return RebuildReport(records, index.document_count, stale, branch_alarms(surveys, unread))


class _RebuiltRows(StoredRows):
    """Stored rows, but for the branches of the shards, whose documents are in doc_num order."""

    def __init__(self, index: HybridIndex, shards: Shards, allowance: Allowance) -> None:
        super().__init__(index, allowance)
        self._shards = shards

    def ordered_sparse(self, branch: str, order: NDArray[np.int64]) -> Iterator[csr_matrix]:
        """Yield the rows of a sparse branch, some thousand at a time."""
        if branch in self._shards.branches:
            return self._shards.ordered_sparse(branch, order)
        return super().ordered_sparse(branch, order)

    def ordered_dense(self, branch: str, order: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of a dense branch, some thousand at a time."""
        if branch in self._shards.branches:
            return self._shards.ordered_dense(branch, order)
        return super().ordered_dense(branch, order)


def _checked(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the options of the branches that have any."""
    for name, given in options.items():
        unknown = sorted(set(given) - set(MODEL_OPTIONS))
        if unknown:
            raise UsageError(
                f"{', '.join(unknown)} of branch {name!r}: no option of a model; those are "
                f"{', '.join(MODEL_OPTIONS)}"
            )
    return {name: given for name, given in options.items() if given}


def _encoder(
    index: HybridIndex,
    name: str,
    models: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
    encoders: Mapping[str, Encoder],
) -> tuple[Encoder, Mapping[str, Any]]:
    """Return the encoder of a branch to rebuild, and what its record says of it."""
    from hybrid.encoders import Bm25Parameters, check_fingerprint
    from hybrid.encoders.models.fingerprint import differences

    record = index.record(name)
    if record.encoder["model"] == BM25:
        if name in models or name in options:
            raise UsageError(
                f"branch {name!r} is BM25, which has no model; leave the model and its options out"
            )
        known = Bm25Parameters.__dataclass_fields__
        kept: dict[str, Any] = {k: v for k, v in record.fingerprint.items() if k in known}
        return Bm25Parameters(**kept), record.encoder
    if name in encoders:
        if name in models or name in options:
            raise UsageError(
                f"branch {name!r} is given an encoder, and a model or options too; give one of them"
            )
        given = encoders[name]
        is_other = differences(dict(record.fingerprint), given.fingerprint)
        return given, {"model": GIVEN} if is_other else record.encoder
    if name in models or name in options:
        described = _described_anew(record, models.get(name), options.get(name, {}))
        return load_encoder(record.kind, described), described
    encoder = load_encoder(record.kind, record.encoder)
    try:
        check_fingerprint(dict(record.fingerprint), encoder.fingerprint)
    except ModelMismatchError as error:
        raise ModelMismatchError(
            f"{error}. To go over to another model, name it (hybrid rebuild --model)"
        ) from error
    return encoder, record.encoder


def _described_anew(
    record: BranchRecord, model: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the record that loads a model: the branch's own, or that of another model."""
    kept = dict(record.encoder)
    if model is not None:
        named = model_record(model)
        kept.pop("revision", None)  # a model that is named again is taken as it is now
        kept = kept if kept["model"] == named["model"] else named
    return kept | dict(options)


def _refuse_other_kind(record: BranchRecord, kind: str, name: str) -> None:
    if kind != record.kind:
        raise UsageError(
            f"branch {name!r} is {record.kind}, but its encoder gives {kind} rows; give an encoder "
            f"of the kind that the branch has"
        )


def _plan(record: BranchRecord, shards: Shards, name: str) -> BranchPlan:
    width = shards.branches[name].width
    rows = shards.document_count if shards.passages is None else len(shards.passages)
    return (
        sparse_plan(record, width) if record.kind == "sparse" else dense_plan(record, width, rows)
    )
