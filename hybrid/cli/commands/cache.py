"""``hybrid cache``: what the cache on disk holds, and how to empty it."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from hybrid.cli.app import app, example, out, print_json, print_result
from hybrid.cli.options import AsJson, CacheFolder
from hybrid.machine.cache import Cache, chosen_cache
from hybrid.machine.cached_rows import Holding

cache = typer.Typer(help="List or clear the cache on disk.", no_args_is_help=True)
app.add_typer(cache, name="cache")
DAY = 86400


@cache.command("list", epilog=example("hybrid cache list"))
def list_cache(
    folder: CacheFolder = None,
    as_json: AsJson = False,
) -> None:
    """List what the cache holds: encodings by text, models that were made of others.

    Where it is over its limit, what was not used for the longest time is removed.
    """
    kept = _chosen(folder)
    held = kept.holdings()
    if as_json:
        print_json({"folder": str(kept.root), "kinds": [vars(each) for each in held]})
        return
    out.print(f"{kept.root}, at most {kept.limit >> 20:,} MB", markup=False)
    table = Table("kind", box=None)
    for name in ("entries", "MB", "oldest use", "last use"):
        table.add_column(name, justify="right")
    for each in held:
        table.add_row(*_row(each))
    out.print(table if held else "empty", markup=False)


@cache.command(epilog=example("hybrid cache clear encodings"))
def clear(
    kind: Annotated[str | None, typer.Argument(help="only entries of this kind")] = None,
    folder: CacheFolder = None,
    as_json: AsJson = False,
) -> None:
    """Remove the entries of the cache; each is made again when it is needed."""
    kept = _chosen(folder)
    freed = kept.clear(kind)
    line = f"{kept.root}: {freed / (1 << 20):,.1f} MB removed"
    print_result({"folder": str(kept.root), "bytes": freed}, [line], as_json=as_json)


def _chosen(folder: str | None) -> Cache:
    return chosen_cache(folder or True) or Cache()


def _row(held: Holding) -> tuple[str, ...]:
    now = time.time()
    ages = (f"{(now - used) / DAY:,.1f} days ago" for used in (held.oldest, held.newest))
    return (held.kind, f"{held.entries:,}", f"{held.bytes / (1 << 20):,.1f}", *ages)
