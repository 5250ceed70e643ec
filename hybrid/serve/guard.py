"""The guard before the API: names, keys, sizes, room, time; then a log line and a count.

One ASGI layer of plain functions. It answers by itself what must not reach the index, and gives no
stack trace: an error that the library did not mean is logged and answered 500 without its text.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

from hybrid.serve.options import ServeOptions

LOG = logging.getLogger(__name__)
POLICY = (
    b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    b"form-action 'self'; object-src 'none'"
)
SAFETY = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class RefusedError(Exception):
    """A request that is answered before it reaches the index."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Counts:
    """Requests by status, seconds and refusals, as Prometheus reads them."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.seconds = 0.0
        self.at_work = 0

    def text(self, documents: int) -> str:
        """Return the counts in the text format of Prometheus."""
        lines = ["# TYPE hybrid_requests_total counter"]
        lines += [
            f'hybrid_requests_total{{status="{status}"}} {count}'
            for status, count in sorted(self.requests.items())
        ]
        lines += [
            "# TYPE hybrid_request_seconds_total counter",
            f"hybrid_request_seconds_total {self.seconds:.6f}",
            "# TYPE hybrid_requests_at_work gauge",
            f"hybrid_requests_at_work {self.at_work}",
            "# TYPE hybrid_documents gauge",
            f"hybrid_documents {documents}",
        ]
        return "\n".join(lines) + "\n"


class Answer:
    """The answer to a request: sent once, with the safety headers, and nothing after it was cut."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.cut = False

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if self.cut:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *SAFETY]
        await self._send(message)

    async def refuse(self, status: int, text: str, *, close: bool) -> None:
        """Send an error, unless an answer has begun; let nothing follow.

        With ``close`` the connection ends, too: a client whose body was not read could go on.
        """
        if not self.status:
            body = error_body(text)
            length = b"%d" % len(body)
            headers = [(b"content-type", b"application/json"), (b"content-length", length)]
            if status == 429:
                headers.append((b"retry-after", b"1"))
            if close:
                headers.append((b"connection", b"close"))
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})
        self.cut = True


class Guard:
    """The layer before an ASGI application.

    Args:
        app: the application.
        options: limits, names and keys.
        counts: filled as requests end.
    """

    def __init__(self, app: Any, options: ServeOptions, counts: Counts) -> None:
        self._app = app
        self._options = options
        self._counts = counts
        self._left: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, answer = time.perf_counter(), Answer(send)
        failed: dict[str, str] = {}
        body: bytes | None = None
        try:
            headers = _read_headers(scope)
            self._check(scope, headers)
            body = await self._body(headers, receive)
            await self._run(scope, body, answer)
        except RefusedError as refused:
            await answer.refuse(refused.status, str(refused), close=body is None)
        except Exception as error:  # noqa: BLE001 - the last door: logged, answered 500
            failed = {"error": type(error).__name__, "at": _place(error)}
            await answer.refuse(500, "the server failed; its log says where", close=body is None)
        finally:
            seconds = time.perf_counter() - began
            self._counts.requests[answer.status] += 1
            self._counts.seconds += seconds
            line = {
                "method": scope["method"],
                "route": _route(scope),
                "status": answer.status,
                "milliseconds": round(1000 * seconds, 1),
                **failed,
            }
            LOG.log(logging.ERROR if failed else logging.INFO, "%s", json.dumps(line))

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        options = self._options
        host = headers.get("host", "")
        if _host_name(host) not in options.allowed_hosts:
            raise RefusedError(421, f"this server does not answer for {host[:100]!r}; see --hosts")
        origin = headers.get("origin")
        if origin and origin not in options.origins and origin.partition("://")[2] != host:
            raise RefusedError(403, f"pages of {origin[:100]!r} may not call this; see --cors")
        scope["state"] = {**scope.get("state", {}), "filter": ""}
        if options.keys and not _needs_no_key(scope["path"]):
            given = headers.get("x-api-key") or headers.get("authorization", "")
            key = _known(given.removeprefix("Bearer "), options.keys)
            if key is None:
                raise RefusedError(401, "give an API key in the header X-API-Key")
            scope["state"]["filter"] = options.keys[key]

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """Return the body, read whole within the limits of size and time."""
        most, declared = self._options.most_bytes, headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()) or len(declared) > 18:
            raise RefusedError(413, "the length of the request is no number of bytes")
        if int(declared) > most:
            raise RefusedError(413, f"the request has {declared} bytes; give at most {most:,}")
        try:
            return await asyncio.wait_for(self._read(receive), self._options.timeout)
        except asyncio.TimeoutError:
            raise RefusedError(408, "the request came too slowly") from None

    async def _read(self, receive: Receive) -> bytes:
        parts, size, most = [], 0, self._options.most_bytes
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(400, "the client went away")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise RefusedError(413, f"the request is too large; give at most {most:,} bytes")
            if not message.get("more_body"):
                return b"".join(parts)

    async def _run(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """Run the application; a request that takes too long is left to itself, its room free.

        A thread cannot be stopped: it ends by itself, and nobody waits for it.
        """
        if scope["path"] == "/metrics" or _needs_no_key(scope["path"]):
            await self._app(scope, _replay(body), answer.send)
            return
        if self._counts.at_work >= self._options.concurrency:
            raise RefusedError(429, "too many requests at once; try again in a moment")
        self._counts.at_work += 1
        task = asyncio.create_task(self._app(scope, _replay(body), answer.send))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._options.timeout)
        finally:
            self._counts.at_work -= 1
            self._left.add(task)
            task.add_done_callback(self._forget)
        if not done:
            raise RefusedError(504, "the request took too long; a change may still go on")
        await task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._left.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.debug("a request ended by %s", type(error).__name__)


def error_body(message: str) -> bytes:
    """Return the JSON of an error, in ASCII: any text can be sent."""
    return json.dumps({"error": message}).encode("ascii")


def _known(given: str, keys: Any) -> str | None:
    """Return the key that was given; takes as long for any wrong one."""
    matching = [key for key in keys if compare_digest(key.encode(), given.encode())]
    return matching[0] if matching else None


def _needs_no_key(path: str) -> bool:
    """Return whether a path holds nothing of the index; such requests take no room either."""
    return path in {"/", "/health"} or path.startswith("/page/")


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _read_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # nothing more comes
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _route(scope: Scope) -> str:
    """Return the pattern of the path, without what a user typed."""
    return str(getattr(scope.get("route"), "path", "none"))


def _place(error: BaseException) -> str:
    """Return where an error was raised. Its text may quote a query or a document, so it stays."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} {frame.name}"
