"""A POST to a webhook's address into whether it was taken. No redirect is followed, no answer read."""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from kerneld.notify.outcome import Outcome

STEP_S = 10.0
"""for the connection, and for each read and write"""
DEADLINE_S = 30.0
MOST_WAIT_S = 3600.0


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, deadline_s: float = DEADLINE_S
) -> Outcome:
    """deadline_s: for all that follows the connection. A failure is told by the host alone."""
    host = urlsplit(url).hostname or ""
    try:
        status, wait = _post(url, body, headers, deadline_s)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else None
        return Outcome(f"{host}: {reason or type(problem).__name__}")
    if 200 <= status < 300:
        return Outcome()
    if 300 <= status < 400:
        return Outcome(f"{host} answered {status}: redirects are not followed")
    return Outcome(f"{host} answered {status}", wait_s=_seconds(wait))


def _post(
    url: str, body: bytes, headers: Mapping[str, str], deadline_s: float
) -> tuple[int, str | None]:
    """The status, and what Retry-After says."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, parts.port, timeout=STEP_S)
    sock = socket.create_connection((host, connection.port), STEP_S)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    # a server that sends a byte now and then passes every limit but this one
    cut = threading.Timer(deadline_s, _cut, [sock])
    cut.daemon = True
    cut.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection.sock = sock
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("POST", target, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.getheader("Retry-After")
    finally:
        cut.cancel()
        connection.close()
        sock.close()


def _cut(sock: socket.socket) -> None:
    """End the connection under whoever waits for it; not by TLS, whose state is another thread's."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass


def _seconds(retry_after: str | None) -> float | None:
    """Its other form, a date, is not worth a clock that may be wrong."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return None
    return min(float(retry_after[:9]), MOST_WAIT_S)
