"""Options and configuration into a running page: the socket first, then the token, then the server."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Collection

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from kerneld.errors import UsageError
from kerneld.web.app import application
from kerneld.web.site import Site

BACKLOG = 256
PATIENCE_S = 10.0
"""of a connection, twice: neither a whole question comes, nor is the answer read"""
MOST_CONNECTIONS, MOST_FILES = 2_000, 4_096
STOP_S = 2
"""streams of events never end by themselves"""


def listener(address: str, port: int) -> socket.socket:
    """Bound, so that its port is known before anything is told."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # TCP by name: for this alone asyncio turns off the delay that costs each answer 40 ms
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
        made.listen(BACKLOG)  # whoever follows the address at once waits until it is served
    except OSError as problem:
        made.close()
        raise UsageError(f"{address} port {port}: {problem.strerror}; choose another --port") from None
    return made


class Connection(H11Protocol):
    """Who connects and then neither asks nor reads is let go: uvicorn itself would wait for ever."""

    _looked_at: tuple[object, int] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self.loop.call_later(PATIENCE_S, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        cycle, unread = self.cycle, self.transport.get_write_buffer_size()
        asks_nothing = cycle is None or cycle.response_complete or cycle.more_body
        seen = (cycle, unread) if asks_nothing or unread else None
        if seen is not None and seen == self._looked_at:
            self.transport.abort()
            return
        self._looked_at = seen
        self.loop.call_later(PATIENCE_S, self._look)


def serve(site: Site, at: socket.socket, hosts: Collection[str]) -> None:
    """Until SIGTERM or SIGINT."""
    # the command line has it end the process, as a pipe's reader expects: here a browser is the reader
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MOST_FILES <= hard:  # a shell's 1,024 are used up by as many who connect and say nothing
        resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, hard))
    with contextlib.closing(at):
        server_of(application(site, hosts)).run(sockets=[at])


def server_of(app: Starlette) -> uvicorn.Server:
    settings = uvicorn.Config(
        app,
        http=Connection,
        lifespan="on",
        log_level="error",  # what strangers send that is no HTTP is no warning
        access_log=False,  # addresses hold tokens, and what people look for
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_S,
        limit_concurrency=MOST_CONNECTIONS,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_own_fault)
    return uvicorn.Server(settings)


def _is_own_fault(record: logging.LogRecord) -> bool:
    """h11's complaint is of a stranger's: an answer to what was no HTTP in the middle."""
    return not (record.exc_info and isinstance(record.exc_info[1], h11.LocalProtocolError))
