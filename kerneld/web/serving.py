"""Options and configuration into a running page: the socket first, then the token, then the server."""

import contextlib
import signal
import socket
from collections.abc import Collection

import uvicorn
from starlette.applications import Starlette

from kerneld.errors import UsageError
from kerneld.web.app import application
from kerneld.web.site import Site

BACKLOG = 256
STOP_S = 2
"""streams of events never end by themselves"""


def listener(address: str, port: int) -> socket.socket:
    """Bound, so that its port is known before anything is told."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
        made.listen(BACKLOG)  # whoever follows the address at once waits until it is served
    except OSError as problem:
        made.close()
        raise UsageError(f"{address} port {port}: {problem.strerror}; choose another --port") from None
    return made


def serve(site: Site, at: socket.socket, hosts: Collection[str]) -> None:
    """Until SIGTERM or SIGINT."""
    # the command line has it end the process, as a pipe's reader expects: here a browser is the reader
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    app: Starlette = application(site, hosts)
    settings = uvicorn.Config(
        app,
        lifespan="on",
        log_level="warning",
        access_log=False,  # addresses hold tokens, and what people look for
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_S,
        limit_concurrency=2_000,
    )
    with contextlib.closing(at):
        uvicorn.Server(settings).run(sockets=[at])
