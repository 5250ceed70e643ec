"""Rebuild: branches encoded again from the stored documents, as one commit.

For a branch whose files are damaged, and for a branch that is to have another model. The other
branches keep their rows, and all segments become one on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.build.options import running
from hybrid.build.records import BM25, GIVEN, check_unchanged, load_encoder, model_record
from hybrid.build.survey import measured
from hybrid.errors import ModelMismatchError, UsageError
from hybrid.fusion import parse_fusion
from hybrid.index.change import Change, StoredRows, dense_plan, sparse_plan
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import BranchRecord, records_data
from hybrid.index.storage.writer import new_generation
from hybrid.machine.cache import CacheChoice, chosen_cache
from hybrid.machine.memory import Allowance
from hybrid.machine.progress import StartProgress, no_progress

if TYPE_CHECKING:
    from hybrid.build.encode import Encoder
    from hybrid.build.shards import Shards
    from hybrid.build.survey import Survey

MODEL_OPTIONS = (
    "revision",
    "max_length",
    "query_prompt",
    "document_prompt",
    "document_terms",
    "query_terms",
    "min_weight",
)
"""Options of loading a model, named as in `hybrid.encoders`; terms are for sparse models alone."""


@dataclass(frozen=True)
class RebuildOptions:
    """Options of encoding branches again.

    Attributes:
        models: by branch, another model to encode with; default: the one that built the branch.
            Another model takes its own length, prompts and terms, unless ``model_options`` say
            more.
        model_options: by branch, how its model is loaded: any of `MODEL_OPTIONS`. The model that
            built the branch keeps those that it had, but for those named here.
        same_encoders: refuse encoders as objects that are not what built the branch.
        cache: as in `BuildOptions`.
        memory: bytes that the process may hold, Python and models included; None for no limit.
        device, batch_size: as in `BuildOptions`; the index records neither.

    Raises:
        UsageError: an option that a model does not have, or a batch of no text.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    same_encoders: bool = False
    cache: CacheChoice = True
    memory: int | None = None
    device: str | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        running(self.device, self.batch_size)
        for name, given in self.model_options.items():
            unknown = sorted(set(given) - set(MODEL_OPTIONS))
            if unknown:
                raise UsageError(
                    f"{', '.join(unknown)} of branch {name!r}: no option of a model; those are "
                    f"{', '.join(MODEL_OPTIONS)}"
                )

    @property
    def named(self) -> set[str]:
        """The branches that get a model, or options of one."""
        return {*self.models, *(name for name, given in self.model_options.items() if given)}


@dataclass(frozen=True)
class RebuildReport:
    """The result of a rebuild.

    Attributes:
        branches: the branches that were encoded again, with their records.
        document_count: documents in the index.
        stale_domains: domains whose fusion uses a branch that has another model now, or is none of
            this version.
        alarms: what looks wrong about a rebuilt sparse branch.
    """

    branches: Mapping[str, BranchRecord]
    document_count: int
    stale_domains: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "documents": self.document_count,
            "branches": records_data(self.branches),
            "stale_domains": list(self.stale_domains),
            "alarms": list(self.alarms),
        }

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
    options: RebuildOptions | None = None,
    *,
    encoders: Mapping[str, Encoder] | None = None,
    progress: StartProgress = no_progress,
) -> RebuildReport:
    """Encode some branches again from the stored documents and return a report of them.

    Their files are not read, so they may be damaged or gone; all else must be whole. Interrupted,
    it goes on from its last finished shard.

    Args:
        directory: the index.
        branches: names of branches.
        options: the models to encode with.
        encoders: by branch, encoders as objects; each takes the place of what built the branch.
        progress: shows how far it is.

    Raises:
        UsageError: no branch, one that is not there, or a model for one that is not named.
        ModelMismatchError: the model is no longer what built the branch, and neither ``options``
            nor ``encoders`` say more; or an object is another, with ``same_encoders``.
        CorruptIndexError: something else is damaged; nothing was changed.
        IndexLockedError: another writer is at work.
        MemoryLimitError: more memory is needed than is allowed; nothing was changed.
        StorageError: the disk is full or failing; nothing was changed.
    """
    from hybrid.build.encode import EncodeOptions, encode_surveyed
    from hybrid.build.survey import branch_alarms

    names, given = list(dict.fromkeys(branches)), encoders or {}
    options = options or RebuildOptions()
    _check_names(names, options.named | set(given))
    with new_generation(directory, create=False, damaged=True) as generation:
        change = Change(generation)
        index = change.index
        if not index.document_count:
            raise UsageError(f"{directory} holds no documents to encode; add some first")
        chosen = {name: _encoder(index.record(name), name, options, given) for name in names}
        loaded = {name: encoder for name, (encoder, _) in chosen.items()}
        change.allowance = allowance = Allowance.of(options.memory)  # of what the models leave
        progress = allowance.watching(progress)
        _check_whole(index, names, given if options.same_encoders else {})
        shards, surveys = encode_surveyed(
            iter(index.documents),
            generation.workspace,
            loaded,
            EncodeOptions(allowance, index.window, chosen_cache(options.cache)),
            progress=progress("encoding", index.document_count),
        )
        reports = _merge(change, shards, progress)
        records = _update_records(change, shards, chosen, reports, surveys)
        stale = _stale_domains(index, records)
        change.commit()
    alarms = branch_alarms(surveys, shards.unread, bm25=BM25 in index.records)
    return RebuildReport(records, index.document_count, stale, alarms)


def _check_names(names: Sequence[str], changed: set[str]) -> None:
    if not names or not changed <= set(names):
        raise UsageError(
            f"the branches to rebuild are {', '.join(names) or 'none'}; name at least one, and "
            f"those that get a model or options: {', '.join(sorted(changed)) or 'none'}"
        )


def _check_whole(index: HybridIndex, names: Sequence[str], same: Mapping[str, Encoder]) -> None:
    """Refuse damaged encoders of other branches, and encoders that must be the same and are not."""
    models = {name: index.record(name).encoder["model"] for name in index.branches}
    check_unchanged(index, {name: each for name, each in same.items() if models[name] != BM25})
    for name in index.branches:
        if name not in names and index.generation.names(f"{name}/encoder"):
            index.generation.folder(f"{name}/encoder")  # taken over, so it must be whole


def _merge(change: Change, shards: Shards, progress: StartProgress) -> dict[str, dict[str, Any]]:
    """Write one segment with the rows of the shards, whose documents are in doc_num order."""
    rows = shards.document_count if shards.passages is None else len(shards.passages)
    plans, anew = {}, {}
    for name, branch in shards.branches.items():
        record = change.index.record(name)
        if branch.kind != record.kind:
            raise UsageError(
                f"branch {name!r} is {record.kind}, but its encoder gives {branch.kind} rows; give "
                "an encoder of the kind that the branch has"
            )
        sparse = branch.kind == "sparse"
        plans[name] = (
            sparse_plan(record, branch.width) if sparse else dense_plan(record, branch.width, rows)
        )
        anew[name] = partial(shards.ordered_sparse if sparse else shards.ordered_dense, name)
    stored = StoredRows(change.index, change.allowance, anew)
    return change.merge(list(change.segment_sizes), rows=stored, plans=plans, progress=progress)


def _update_records(
    change: Change,
    shards: Shards,
    chosen: Mapping[str, tuple[Encoder, Mapping[str, Any]]],
    reports: Mapping[str, dict[str, Any]],
    surveys: Mapping[str, Survey],
) -> dict[str, BranchRecord]:
    """Return the new record of each branch, given to the change with the state of its encoder."""
    records = {}
    for name, branch in shards.branches.items():
        before, report = change.index.record(name), reports[name]
        if branch.kind == "sparse":
            report = measured(report, surveys.get(name))
        else:
            report = report | {"vectors": before.report.get("vectors", "flat")}
        if name in shards.unread:
            report |= shards.unread[name].figures()
        records[name] = replace(
            before, encoder=chosen[name][1], fingerprint=branch.fingerprint, report=report
        )
        change.update_record(name, records[name])
        if branch.is_bm25:
            shards.bm25(name).save(change.state_folder(name))
    return records


def _stale_domains(index: HybridIndex, records: Mapping[str, BranchRecord]) -> tuple[str, ...]:
    """Return the domains whose fusion uses a branch of another model now, or cannot be read."""
    from hybrid.encoders.models.fingerprint import differences

    others = {
        name
        for name, record in records.items()
        if record.encoder["model"] != BM25  # whose statistics are not a model
        and differences(dict(index.record(name).fingerprint), dict(record.fingerprint))
    }

    def is_stale(fusion: str) -> bool:
        try:
            return not others.isdisjoint(parse_fusion(fusion).branch_names(index.branches))
        except UsageError:  # tuned by a version that has other fusions
            return True

    return tuple(name for name, each in index.domains.items() if is_stale(each["fusion"]))


def _encoder(
    record: BranchRecord, name: str, options: RebuildOptions, encoders: Mapping[str, Encoder]
) -> tuple[Encoder, Mapping[str, Any]]:
    """Return the encoder of a branch to rebuild, and its record."""
    from hybrid.encoders import Bm25Parameters, check_fingerprint
    from hybrid.encoders.models.fingerprint import differences

    if record.encoder["model"] == BM25:
        if name in options.named:
            raise UsageError(
                f"branch {name!r} is BM25, which has no model; leave the model and its options out"
            )
        known = Bm25Parameters.__dataclass_fields__
        kept: dict[str, Any] = {k: v for k, v in record.fingerprint.items() if k in known}
        return Bm25Parameters(**kept), record.encoder
    if name in encoders:
        if name in options.named:
            raise UsageError(
                f"branch {name!r} is given an encoder, and a model or options too; give one of them"
            )
        given = encoders[name]
        is_other = differences(dict(record.fingerprint), given.fingerprint)
        return given, {"model": GIVEN} if is_other else record.encoder
    placed = running(options.device, options.batch_size)
    if name in options.named:
        given_options = options.model_options.get(name, {})
        described = _described_anew(record, options.models.get(name), given_options)
        return load_encoder(record.kind, described | placed), described
    encoder = load_encoder(record.kind, {**record.encoder, **placed})
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
