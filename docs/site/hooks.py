"""Hooks of the site: a page for each command, and no remote asset in what is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from typer.main import get_command

from hybrid.cli import application

REMOTE = re.compile(
    r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*"""
)
EXAMPLES = "reference/commands.md"
BEGINS = "`notes.idx` and `small.idx` are those of [all commands in one run](../commands.md)."


def commands(command: Any, name: str = "hybrid") -> Iterator[tuple[str, Any]]:
    """Yield (name, command) of each command that does something, in the order of the help."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for inner, each in command.commands.items():
        yield from commands(each, f"{name} {inner}")


def address(name: str) -> str:
    """Return the page of a command."""
    return f"reference/commands/{'-'.join(name.split()[1:])}.md"


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def examples(page: str) -> dict[str, str]:
    """Return command to its section of the page on what each command prints."""
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    return {name: text.strip().replace("](../", "](../../") for name, _, text in parts}


def page(name: str, command: Any, example: str) -> str:
    """Return the text of a command's page: an example, and its help, a table for each panel."""
    context = typer.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"# {name}", "", (command.help or "").strip(), "", "```text", f"{name} {usage}", "```"]
    lines += ["", "## What does it print?", "", example, "", BEGINS]
    panels: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or getattr(parameter, "hidden", False):
            continue
        panel = getattr(parameter, "rich_help_panel", None)
        if panel is None:
            panel = "Options" if parameter.param_type_name == "option" else "Arguments"
        panels.setdefault(panel, []).append(f"| `{cell(record[0])}` | {cell(record[1])} |")
    for panel, rows in panels.items():
        lines += ["", f"## {panel}", "", "| name | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Return the configuration with the commands and the decisions in the navigation."""
    pages = [{name: address(name)} for name, _ in commands(get_command(application()))]
    parts = {name: pages for part in config.nav or [] for name, pages in part.items()}
    parts["Reference"].insert(1, {"Commands": [EXAMPLES, *pages]})
    folder = Path(config.docs_dir) / "decisions"
    parts["Explanation"].append(
        {"Decisions": [f"decisions/{p.name}" for p in sorted(folder.glob("*.md"))]}
    )
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the files with a generated page for each command."""
    shown = examples((Path(config.docs_dir) / EXAMPLES).read_text(encoding="utf-8"))
    for name, command in commands(get_command(application())):
        text = page(name, command, shown[name])
        files.append(File.generated(config, address(name), content=text))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a built site that would load anything from elsewhere."""
    remote = [
        f"{path.name}: {match.group(0)}"
        for path in sorted(Path(config.site_dir).rglob("*.html"))
        for match in REMOTE.finditer(path.read_text(encoding="utf-8"))
    ]
    if remote:
        raise PluginError("the site would load from elsewhere:\n" + "\n".join(remote[:10]))
