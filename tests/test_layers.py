"""The layer rule: one list, and what may import what; lazy and type-only imports count."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hybrid

ROOT = Path(hybrid.__file__).parent

LAYERS = (
    "errors version",
    "machine | kernels",
    "corpus",
    "encoders | fusion",
    "index.storage",
    "index.documents",
    "index.sparse | index.dense",
    "index",
    "engines",
    "build",
    "search",
    "evaluate",
    "training | tune",
    "integrations",
    "report",
    "serve",
    "cli",
    "__init__ __main__",
)
"""From the bottom up. A later layer may import an earlier one. Of one layer, those that ``|`` parts
do not know each other; those that a space parts do."""

MOST_MODULES = 14
TOP = {"__init__", "__main__", "errors", "version"}


def modules() -> list[tuple[str, Path]]:
    """Return (dotted name below hybrid, file) of every module; a package is its ``__init__``."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        found.append((".".join(parts), path))
    return found


NAMES = {name for name, _ in modules()}


def imported(tree: ast.AST) -> set[str]:
    """Return the modules of this library that a file imports, at the top, lazily or for types."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole.removeprefix("hybrid.") in NAMES else node.module)
    ours = {name for name in found if name == "hybrid" or name.startswith("hybrid.")}
    return {name.removeprefix("hybrid").removeprefix(".") or "__init__" for name in ours}


IMPORTS = {
    name: imported(ast.parse(path.read_text(encoding="utf-8"))) - {name} for name, path in modules()
}


def layer(name: str) -> tuple[int, str]:
    """Return the level of a module and its group on that level."""
    best: tuple[int, str, str] | None = None
    for level, line in enumerate(LAYERS):
        for group in line.split(" | "):
            for package in group.split():
                inside = name == package or name.startswith(f"{package}.")
                if inside and (best is None or len(package) > len(best[2])):
                    best = level, group, package
    assert best is not None, f"{name} has no layer"
    return best[:2]


def test_every_module_has_a_layer() -> None:
    assert all(layer(name) for name in NAMES)


def test_imports_go_down_only() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in IMPORTS.items()
        for target in targets
        if layer(target)[0] > layer(name)[0]
    ]
    assert wrong == []


def test_neighbours_of_one_layer_do_not_know_each_other() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in IMPORTS.items()
        for target in targets
        if layer(target)[0] == layer(name)[0] and layer(target) != layer(name)
    ]
    assert wrong == []


def test_fusion_loads_no_compiler() -> None:
    wrong = [
        name
        for name, targets in IMPORTS.items()
        for target in targets
        if name.startswith("fusion") and target.startswith("kernels")
    ]
    assert wrong == []


def test_no_circle_of_files() -> None:
    state: dict[str, int] = {}
    circles: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        state[name] = 1
        for target in sorted(IMPORTS.get(name, ())):
            if state.get(target) == 1:
                circles.append(" -> ".join((*path[path.index(target) :], target)))
            elif target not in state:
                visit(target, (*path, target))
        state[name] = 2

    for name in sorted(IMPORTS):
        if name not in state:
            visit(name, (name,))
    assert circles == []


def test_no_folder_is_a_crowd() -> None:
    counts = {
        str(folder.relative_to(ROOT)): sum(1 for f in folder.glob("*.py") if f.stem != "__init__")
        for folder in [ROOT, *(path for path in ROOT.rglob("*") if path.is_dir())]
    }
    assert {name: count for name, count in counts.items() if count > MOST_MODULES} == {}
    assert {path.stem for path in ROOT.glob("*.py")} == TOP


def test_no_public_name_is_a_module_too() -> None:
    tops = {name.split(".")[0] for name in NAMES}
    assert tops & set(hybrid.__all__) == set()


@pytest.mark.parametrize(
    "package", ["evaluate", "tune", "fusion", "corpus", "encoders", "training"]
)
def test_no_name_of_a_package_is_a_module_of_it(package: str) -> None:
    door = __import__(f"hybrid.{package}", fromlist=["__all__"])
    inside = {n.split(".")[1] for n in NAMES if n.startswith(f"{package}.")}
    assert inside & set(door.__all__) == set()


def test_the_walk_finds_imports() -> None:
    assert "errors" in IMPORTS["machine.files"]


PICTURE = ROOT.parent / "docs" / "images" / "house.svg"
COLUMNS = {
    "cli": 1.5, "report": 0, "tune": 0, "integrations": 1, "training": 2, "serve": 3,
    "evaluate": 0.5, "search": 1.5, "build": 1.5, "engines": 1, "index": 1, "fusion": 2,
    "encoders": 3, "corpus": 1.5, "machine": 2, "kernels": 0,
}  # fmt: skip
"""Where a package stands from left to right in the picture; its row follows from the imports."""


def arrows() -> dict[str, set[str]]:
    """Return the packages to those that they import, implied ones left out."""
    below: dict[str, set[str]] = {}
    for name, targets in IMPORTS.items():
        top = name.split(".")[0]
        if top not in TOP:
            below.setdefault(top, set()).update(
                each.split(".")[0] for each in targets if each.split(".")[0] not in {top, *TOP}
            )

    def reached(start: str) -> set[str]:
        return below[start].union(*(reached(each) for each in below[start]))

    return {top: below[top].difference(*map(reached, below[top])) for top in below}


def picture() -> str:
    """Return the packages and their imports as SVG, a package above all that it imports."""
    below = arrows()

    def row(name: str) -> int:
        return max((row(each) + 1 for each in below[name]), default=0)

    highest = max(map(row, below))
    place = {name: (70 + 150 * COLUMNS[name], 30 + 75 * (highest - row(name))) for name in below}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 590 {60 + 75 * highest}" '
        'font-family="sans-serif" font-size="15">',
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker>',
        '<rect width="100%" height="100%" rx="8" fill="#fff"/>',
    ]
    for name in sorted(below):
        for each in sorted(below[name]):
            (x, y), (to_x, to_y) = place[name], place[each]
            bend = (to_y - y) / 2
            lines.append(
                f'<path d="M{x:g} {y + 17}C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} '
                f'{to_x:g} {to_y - 17}" fill="none" stroke="#555" marker-end="url(#tip)"/>'
            )
    for name, (x, y) in sorted(place.items()):
        lines += [
            f'<rect x="{x - 55:g}" y="{y - 17}" width="110" height="34" rx="6" fill="#e8eaf6" '
            'stroke="#3f51b5"/>',
            f'<text x="{x:g}" y="{y + 5}" text-anchor="middle" fill="#111">{name}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def test_the_picture_of_the_house_is_true() -> None:
    """Draw it anew with ``python -m tests.test_layers``."""
    assert PICTURE.read_text(encoding="utf-8") == picture()


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
