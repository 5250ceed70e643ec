"""Removal of generations that are no longer needed, and of leftovers of a killed writer."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hybrid.index.storage import disk, lock
from hybrid.index.storage.generation import (
    GENERATION_NAME,
    GENERATIONS,
    generation_number,
    read_current,
)
from hybrid.index.storage.manifest import (
    MANIFEST,
)

TEMPORARY = "unfinished-"


def remove_leftovers(index_dir: Path, current: str) -> None:
    """Remove leftovers of a dead writer: unfinished folders, generations never switched to."""
    number = generation_number(current)
    for entry in (index_dir / GENERATIONS).iterdir():
        is_generation = GENERATION_NAME.fullmatch(entry.name) is not None
        if entry.name.startswith(TEMPORARY) or (is_generation and not (entry / MANIFEST).exists()):
            disk.remove_tree(entry)
        elif is_generation and entry.name != current and generation_number(entry.name) >= number:
            remove_generation(entry)


def remove_old(index_dir: Path, keep: int) -> None:
    """Remove the generations before the current one, but for ``keep`` and those being read."""
    current = generation_number(read_current(index_dir))
    for name in generation_names(index_dir):
        if generation_number(name) < current:
            keep -= 1
            if keep < 0:
                remove_generation(index_dir / GENERATIONS / name)


def generation_names(index_dir: Path) -> list[str]:
    """Return the names of the committed generations on disk, newest first."""
    folder = index_dir / GENERATIONS
    names = [entry.name for entry in folder.iterdir() if GENERATION_NAME.fullmatch(entry.name)]
    return sorted(names, key=generation_number, reverse=True)


def remove_generation(directory: Path) -> None:
    """Remove a generation unless a reader holds it."""
    manifest = directory / MANIFEST
    with contextlib.suppress(OSError), lock.claim_for_removal(manifest) as unused:
        if unused:
            # The manifest goes first: without it no reader takes the folder for a generation.
            manifest.unlink()
            disk.remove_tree(directory)
