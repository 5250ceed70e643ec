"""Imports go one way: corpus -> encode -> index -> retrieve -> fuse -> evaluate -> tune."""

from __future__ import annotations

import ast
from pathlib import Path

import hybrid

ROOT = Path(hybrid.__file__).parent

LAYERS = [
    {"errors"},
    {"arguments", "folders", "memory", "textfile"},
    {"qrels", "run", "corpus", "collections", "kernels"},
    {"encoders", "indexes"},
    {"pool", "fusion"},
    {
        "branch_search",
        "build",
        "living",
        "query_encoders",
        "query_text",
        "rebuild",
        "retrieve",
        "search_plan",
    },
    {"evaluate", "explain", "training"},
    {"tune", "best_passages", "explain_index"},
    {"experiment"},
    {"report", "web", "integrations", "demo", "doctor"},
    {"cli"},
    {"__main__"},
]
APART = [{"encoders", "indexes"}, {"corpus", "kernels"}, {"training", "tune"}]


def imports() -> list[tuple[str, str, str]]:
    """Return (file, importing part, imported part) for every import inside the package."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        part = relative.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
                if node.module == "hybrid":
                    names = [f"hybrid.{alias.name}" for alias in node.names]
            targets = {name.split(".")[1] for name in names if name.startswith("hybrid.")}
            found += [(str(relative), part, target) for target in targets if target != part]
    return found


def level(part: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


def test_every_part_has_a_layer() -> None:
    parts = {
        p.name.removesuffix(".py")
        for p in ROOT.iterdir()
        if p.suffix == ".py" or any(p.glob("*.py"))
    }
    assert parts - {"__init__", "__pycache__"} <= set().union(*LAYERS)


def test_imports_go_down_only() -> None:
    package_door = "__init__"
    wrong = [
        f"{file} imports {target}"
        for file, part, target in imports()
        if part != package_door and target != "__version__" and level(target) > level(part)
    ]
    assert wrong == []


def test_neighbours_that_do_not_know_each_other() -> None:
    wrong = [
        f"{file} imports {target}"
        for file, part, target in imports()
        if any({part, target} == pair for pair in APART)
    ]
    assert wrong == []


def test_the_walk_finds_imports() -> None:
    assert ("run.py", "run", "errors") in imports()
