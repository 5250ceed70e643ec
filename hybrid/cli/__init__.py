"""The command line: each module parses the arguments of its commands, calls the library, prints."""

from hybrid.cli.app import app, main
from hybrid.cli.commands import (
    about,
    build,
    cache,
    change,
    copies,
    evaluate,
    guard,
    runs,
    search,
    serve,
    train,
    tune,
)

__all__ = [
    "about",
    "app",
    "build",
    "cache",
    "change",
    "copies",
    "demo",
    "evaluate",
    "explain",
    "export",
    "guard",
    "main",
    "models",
    "runs",
    "search",
    "serve",
    "train",
    "tune",
]
