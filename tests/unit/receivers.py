"""Who is told: real HTTP servers, well-behaved and not, and a program."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[["Hook"], None]


class Hook(BaseHTTPRequestHandler):
    """Notes what it gets; the server's `answer` says what comes back."""

    server: "Webhook"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(Post(self.path, dict(self.headers), body))
        self.server.answer(self)

    def do_GET(self) -> None:
        self.server.got.append(Post(self.path, dict(self.headers), b""))
        self.send_error(405)

    def log_message(self, *words: object) -> None:
        pass


@dataclass(frozen=True)
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def uuids(self) -> list[str]:
        return [end["uuid"] for end in self.document["ends"]]


class Webhook(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.got: list[Post] = []
        self.answer: Answer = answering(204)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *words: object) -> None:
        """A client that leaves early is what is tested."""


def answering(status: int, **headers: str) -> Answer:
    def answer(hook: Hook) -> None:
        hook.send_response(status)
        for name, value in headers.items():
            hook.send_header(name.replace("_", "-"), value)
        hook.send_header("Content-Length", "0")
        hook.end_headers()

    return answer


def flooding(hook: Hook) -> None:
    """200, and a body without end."""
    hook.send_response(200)
    hook.end_headers()
    while True:
        hook.wfile.write(b"x" * 65536)


def continuing(hook: Hook) -> None:
    """A client waits for the end of these."""
    while True:
        hook.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def headers_without_end(hook: Hook) -> None:
    hook.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        hook.wfile.write(b"X: y\r\n" * 1000)


def dripping(hook: Hook) -> None:
    """A byte now and then, so that no read is ever late."""
    for byte in b"HTTP/1.1 200 OK\r\n\r\n":
        hook.wfile.write(bytes([byte]))
        time.sleep(0.2)


@contextmanager
def webhook(answer: Answer | None = None) -> Iterator[Webhook]:
    server = Webhook()
    server.answer = answer or server.answer
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silence() -> Iterator[str]:
    """The address of one that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def program(folder: Path, script: str) -> Path:
    path = folder / "told"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
