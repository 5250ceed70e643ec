"""The command line: each module parses the arguments of its commands, calls the library, prints."""

from hybrid.cli import build, demo, evaluate, explain, export, info, search, tune
from hybrid.cli.app import app, main

__all__ = [
    "app",
    "build",
    "demo",
    "evaluate",
    "explain",
    "export",
    "info",
    "main",
    "search",
    "tune",
]
