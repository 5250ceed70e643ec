"""A server process: the application on a socket, with a graceful stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hybrid.errors import UsageError
from hybrid.search.index import Index
from hybrid.serve.app import make_app
from hybrid.serve.options import ServeOptions
from hybrid.serve.service import Service

STOPS = (signal.SIGINT, signal.SIGTERM)


def run(index: Index, options: ServeOptions, *, ready: Callable[[str], None]) -> None:
    """Serve an index until SIGINT or SIGTERM; requests at work are answered before the end.

    Args:
        index: opened, and closed by the caller.
        options: where, to whom and within which limits.
        ready: called with the address once models and kernels are loaded.

    Raises:
        UsageError: the address cannot be had, or the filter of a key does not fit the index.
        ModelError: a model cannot be found or loaded.
    """
    app = make_app(index, options)
    listening = _listen(options)
    try:
        Service(index).warm(options.rerank)
        config = uvicorn.Config(
            app,
            http=_protocol(options.timeout),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=65_536,
            timeout_graceful_shutdown=int(options.timeout) + 1,
        )
        listening.listen(config.backlog)
        name = f"[{options.host}]" if ":" in options.host else options.host
        ready(f"http://{name}:{listening.getsockname()[1]}")
        # The server raises the signal that stopped it again at its end; the caller goes on then.
        before = {each: signal.signal(each, lambda *_: None) for each in STOPS}
        try:
            asyncio.run(uvicorn.Server(config).serve([listening]))
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
    finally:
        listening.close()


def _listen(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{options.host}:{options.port} cannot be had: {error.strerror}; give another --port"
        ) from error
    return listening


def _protocol(seconds: float) -> Any:
    """Return uvicorn's protocol, which cuts a client that sends its headers too slowly."""

    class Cutting(H11Protocol):
        late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_watching()

        def _watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._stop_watching()
            elif self.late is None:
                self.late = self.loop.call_later(seconds, self.transport.close)

        def _stop_watching(self) -> None:
            if self.late is not None:
                self.late.cancel()
                self.late = None

    return Cutting
