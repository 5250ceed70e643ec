"""The command line: each module parses the arguments of its commands, calls the library, prints."""

from hybrid.cli import (
    build,
    change,
    demo,
    evaluate,
    explain,
    export,
    guard,
    info,
    models,
    runs,
    search,
    train,
    transfer,
    tune,
)
from hybrid.cli.app import app, main

__all__ = [
    "app",
    "build",
    "change",
    "demo",
    "evaluate",
    "explain",
    "export",
    "guard",
    "info",
    "main",
    "models",
    "runs",
    "search",
    "train",
    "transfer",
    "tune",
]
