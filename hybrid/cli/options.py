"""Options that several commands share, and what they resolve to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import wraps
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import typer
from rich.console import Console
from typer.core import TyperCommand

from hybrid.build.options import BATCH, DEVICE, MEMORY
from hybrid.corpus import Passages, Skipped, Source, SourceOptions
from hybrid.corpus.judged import as_judged
from hybrid.errors import UsageError
from hybrid.machine.cache import CacheChoice
from hybrid.machine.memory import parse_size
from hybrid.machine.options import option

if TYPE_CHECKING:
    from hybrid.build.tasks import Executor

Result = TypeVar("Result")
IndexAddress = Annotated[
    str, typer.Argument(help="index folder, s3://bucket/name or postgresql://host/db")
]
OUT = ("-o", "--output", "--out")
PANELS = {
    "Models": "max_length document_terms query_terms query_budget min_weight sparse_revision "
    "dense_revision revision query_prompt document_prompt backend dtype batch_size "
    "trust_remote_code",
    "Search and judgments": "device depth filter distinct rerank rerank_depth rerank_fusion "
    "queries qrels query_id_column query_text_column drop_own judged_only gains",
    "Storage and cache": "weights vectors passages overlap memory cache no_cache",
    "Files": "id_column title_column text_column fields skip_bad delimiter encoding",
    "Work": "dask trials sampler folds repeats timeout jobs prune storage seed",
    "Analyses and results": "against slices headroom latency failures run run_dir per_query expect "
    "tolerance form as_json save_prior store",
}
"""Panel of the help to the parameters in it, of the commands that have more than one screen."""
RARE = (
    "query_id_column query_text_column delimiter encoding skip_bad drop_own judged_only gains "
    "tolerance seed sampler timeout prune sparse_revision dense_revision trust_remote_code "
    "document_terms query_terms query_budget min_weight backend dtype k1 b split_names max_length "
    "batch_size query_prompt document_prompt weights overlap no_cache dask"
)
"""Parameters that the help of a `Crowded` command names in its last lines."""
MANY = 12
"""A command with more parameters shows them in panels."""


class Crowded(TyperCommand):
    """A command with so many options that its help would be longer than a screen."""

    def format_help(self, context: Any, formatter: Any) -> None:
        """Print the help, the rare options in its last lines."""
        rare: list[Any] = [each for each in self.params if each.name in RARE.split()]
        told = [f"{each.opts[0]} ({each.help.split(';')[0]})" for each in rare]
        last = self.epilog
        self.epilog = f"Rarely needed: {', '.join(told)}\n\n{last}"
        for each in rare:
            each.hidden = True
        super().format_help(context, formatter)
        for each in rare:
            each.hidden = False
        self.epilog = last


@dataclass(frozen=True)
class Shown:
    """Which fields of an options dataclass a command shows: ``only`` some, or all ``without``.

    It stands beside the class: ``Annotated[SourceOptions, Shown(only=("qrels",))]``.
    """

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def flags(self, kind: type) -> dict[str, tuple[Field[Any], Any]]:
        """Return name to field and type of the flags of ``kind``, nested options included."""
        hints = get_type_hints(kind)
        found: dict[str, tuple[Field[Any], Any]] = {}
        for each in fields(kind):
            if _is_options(hints[each.name]):
                found |= self.flags(hints[each.name])
            elif "help" in each.metadata and self._shows(each.name):
                found[each.name] = (each, hints[each.name])
        return found

    def _shows(self, name: str) -> bool:
        return name not in self.without and (not self.only or name in self.only)

    def filled(self, kind: type, given: Mapping[str, Any]) -> Any:
        """Return ``kind`` with the values that its flags were given, defaults elsewhere."""
        hints, flags = get_type_hints(kind), self.flags(kind)
        values = {}
        for each in fields(kind):
            if _is_options(hints[each.name]):
                values[each.name] = self.filled(hints[each.name], given)
            elif each.name in flags:
                values[each.name] = _value(each, given[each.name])
        return kind(**values)


def options_of(command: Callable[..., Result]) -> Callable[..., Result]:
    """Return the command with a flag for each field of the options dataclasses that it takes.

    A field that `hybrid.machine.options.option` made becomes a flag with its default and help; a
    field that is such a dataclass brings its own. The command is called with the dataclasses.
    """
    hints = get_type_hints(command, include_extras=True)
    taken = inspect.signature(command).parameters
    groups = {name: _split(hints[name]) for name in taken if _is_options(hints[name])}
    parameters: list[inspect.Parameter] = []
    for name, each in taken.items():
        if name in groups:
            kind, shown = groups[name]
            parameters += [_flag(field, hint) for field, hint in shown.flags(kind).values()]
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(each.replace(kind=keyword, annotation=hints[name]))
    if len(parameters) > MANY:
        parameters = [_in_panel(each) for each in parameters]

    @wraps(command)
    def filled(**given: Any) -> Result:
        own = {name: given[name] for name in taken if name not in groups}
        options = {name: shown.filled(kind, given) for name, (kind, shown) in groups.items()}
        return command(**own, **options)

    filled.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    filled.__annotations__ = {each.name: each.annotation for each in parameters}
    return filled


def _in_panel(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter in its panel of the help, where it has one."""
    panel = next((n for n, names in PANELS.items() if parameter.name in names.split()), None)
    notes = get_args(parameter.annotation)
    if panel is None or len(notes) < 2 or getattr(notes[1], "rich_help_panel", 1) is not None:
        return parameter
    told = copy(notes[1])
    told.rich_help_panel = panel
    return parameter.replace(annotation=Annotated[notes[0], told])


def _split(hint: Any) -> tuple[type, Shown]:
    """Return the class of a hint, and which of its fields are shown."""
    kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    return kind, next((note for note in notes if isinstance(note, Shown)), Shown())


def _is_options(hint: Any) -> bool:
    kind, _ = _split(hint)
    return isinstance(kind, type) and is_dataclass(kind) and bool(Shown().flags(kind))


def _flag(field: Field[Any], hint: Any) -> inspect.Parameter:
    """Return the parameter that Typer makes a flag of."""
    flags, default = field.metadata["flags"], field.default
    plain: Any = _without_none(hint)
    if field.metadata["read"] is not None:
        plain, default = str, default or None
    elif get_origin(plain) is tuple:
        plain, default = list[get_args(plain)[0]], None  # type: ignore[misc]
    elif get_origin(plain) is Literal:
        plain = _choice(get_args(plain))
        default = None if default is None else plain(default)
    elif plain is bool and default is False and not flags:
        flags = (f"--{field.name.replace('_', '-')}",)
    told = typer.Option(*flags, help=field.metadata["help"], **field.metadata["shown"])
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[plain if default is not None else plain | None, told],
    )


def _choice(texts: Sequence[str]) -> Any:
    make: Any = Enum
    return make("Choice", {text: text for text in texts}, type=str)


def _without_none(hint: Any) -> Any:
    """Return a type without None, and of a type and text the type."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return next((kind for kind in kinds if kind is not str), str)


def _value(field: Field[Any], typed: Any) -> Any:
    """Return the value of a field for what was typed; its default where nothing was."""
    if typed is None:
        return field.default
    if field.metadata["read"] is not None:
        return field.metadata["read"](typed)
    if isinstance(typed, Enum):
        return typed.value
    return tuple(typed) if isinstance(typed, list) else typed


DocumentColumns: TypeAlias = Annotated[
    SourceOptions,
    Shown(without=("fields", "queries", "query_id_column", "query_text_column", "qrels")),
]
"""How new documents are read; with ``fields`` it is `DocumentSource`."""
DocumentSource: TypeAlias = Annotated[
    SourceOptions,
    Shown(without=("queries", "query_id_column", "query_text_column", "qrels")),
]
QuerySource: TypeAlias = Annotated[
    SourceOptions,
    Shown(without=("id_column", "text_column", "title_column", "fields")),
]
"""How queries and judgments are read."""


def judged_source(spec: str | None, reading: SourceOptions) -> Source:
    """Return the source of queries and judgments: the one named, or the files of the options.

    Raises:
        UsageError: none is named, and not both files are.
    """
    if spec is not None:
        return as_judged(spec, reading)
    if reading.queries is None or reading.qrels is None:
        raise UsageError("no queries and judgments: name a source, or give --queries and --qrels")
    return as_judged((reading.queries, reading.qrels), reading)


Device: TypeAlias = Annotated[str, typer.Option(help="of searches: cpu, cuda, cuda:1")]


class Backend(str, Enum):
    """Names of the runtimes of queries."""

    torch = "torch"
    onnx = "onnx"


QueryBackend: TypeAlias = Annotated[Backend | None, typer.Option("--backend", help="runs queries")]
Dask: TypeAlias = Annotated[
    str | None,
    typer.Option(help="on a Dask cluster; tcp://host:8786, or local:4 processes here"),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="print JSON")]
CACHE = "folder of the cache; default: HYBRID_CACHE, or the user's"
CacheFolder: TypeAlias = Annotated[str | None, typer.Option("--cache", help=CACHE)]


@dataclass(frozen=True)
class MemoryLimit:
    """How much memory a command may take, in bytes."""

    memory: int | None = option(None, MEMORY, read=parse_size)


@dataclass(frozen=True)
class Running:
    """Where and in which batches the models run now; the index records neither."""

    device: str | None = option(None, DEVICE, rich_help_panel="Models")
    batch_size: int | None = option(None, BATCH)


@dataclass(frozen=True)
class CacheOptions:
    """Where encodings are kept, and taken from."""

    cache: str | None = option(None, CACHE)
    no_cache: bool = option(False, "encode every text again, and keep nothing")

    def __post_init__(self) -> None:
        if self.no_cache and self.cache is not None:
            raise UsageError("--cache and --no-cache are opposites; give one of them")

    @property
    def choice(self) -> CacheChoice:
        """The cache as the verbs take it."""
        return not self.no_cache if self.cache is None else self.cache


def executor_of(dask: str | None) -> AbstractContextManager[Executor | None]:
    """Give the executor at an address of ``--dask``, None for this process."""
    if dask is None:
        return nullcontext()
    from hybrid.integrations.clusters.dask import dask_executor

    return dask_executor(dask)


def print_skipped(skipped: Skipped, console: Console) -> None:
    """Say how many records were left out, why, and where the first few of each kind stand."""
    if skipped.total:
        console.print(f"skipped {skipped}", markup=False, soft_wrap=True)


def passage_windows(size: int | None, overlap: int | None) -> Passages | None:
    """Return the windows that ``--passages`` and ``--overlap`` ask for; a quarter overlaps.

    >>> passage_windows(128, None)
    Passages(size=128, overlap=32)

    Raises:
        UsageError: an overlap without a size.
    """
    if size is None:
        if overlap is not None:
            raise UsageError("--overlap says what passages share; give their size with --passages")
        return None
    return Passages(size, size // 4 if overlap is None else overlap)


def refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that were given although they would have no effect.

    Args:
        context: of the running command.
        names: of the command's parameters.
        why: what is in the way and what to do, after "has no effect".

    Raises:
        UsageError: one of them was given; names it as it is typed.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT"}
        if parameter.name in names and given:
            raise UsageError(f"{parameter.opts[0]} has no effect {why}")
