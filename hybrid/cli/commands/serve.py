"""``hybrid serve``, ``replay``, ``mcp``: an index for browsers, programs and assistants."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_result
from hybrid.cli.options import AsJson, IndexAddress, QueryBackend, options_of
from hybrid.errors import require
from hybrid.serve.options import ServeOptions


@app.command(epilog=example("hybrid serve stdlib.idx --port 8000"))
@options_of
def serve(
    index: IndexAddress,
    options: ServeOptions,
    backend: QueryBackend = None,
) -> None:
    """Serve an index: a search page and a JSON API, on this machine unless told otherwise."""
    require("fastapi", extra="serve", purpose="a server")
    require("uvicorn", extra="serve", purpose="a server")
    from hybrid.machine.passwords import shown
    from hybrid.search.index import open_index
    from hybrid.serve.run import run

    log = logging.getLogger("hybrid.serve")
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(lines)
    log.propagate = False

    def ready(address: str) -> None:
        out.print(f"serving {shown(index)} at {address}", markup=False)

    with open_index(index, backend=backend and backend.value) as opened:
        run(opened, options, ready=ready)
    err.print("stopped", markup=False)


@app.command(epilog=example("hybrid mcp stdlib.idx"))
def mcp(index: IndexAddress) -> None:
    """Give an assistant the tools search and explain over stdin and stdout, by MCP."""
    require("mcp", extra="serve", purpose="a server for assistants")
    from hybrid.search.index import open_index
    from hybrid.serve.assistants import make_server

    with open_index(index) as opened:
        make_server(opened).run("stdio")


@app.command(epilog=example("hybrid replay searches.jsonl before.idx after.idx"))
def replay(
    log: Annotated[Path, typer.Argument(help="what hybrid serve --log --log-text wrote")],
    a: Annotated[Path, typer.Argument(help="index folder")],
    b: Annotated[Path, typer.Argument(help="the other index folder")],
    as_json: AsJson = False,
) -> None:
    """Search two indexes with the queries of a log; say how much of the lists is the same."""
    from hybrid.search.index import open_index
    from hybrid.serve.log import replay as replayed

    with open_index(a) as one, open_index(b) as other:
        found = replayed(log, one, other)
    print_result(found.to_dict(), found.lines(), as_json=as_json)
