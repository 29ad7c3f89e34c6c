"""`kerneld web` as people start it: a real process, its address, its rights, its end."""

import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from incidents import full

from kerneld.store import Store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "k.db") as store:
        store.save_all([(full(), None)])
    return tmp_path / "k.db"


@contextmanager
def started(database: Path, **environ: str) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    """The process and the address that it printed."""
    argv = [sys.executable, "-m", "kerneld", "web", "--port", "0", "--db", str(database)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environ
    ) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def get(address: str, **headers: str) -> int:
    _, _, host, path = address.split("/", 3)
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", f"/{path}", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def status_of(process: "subprocess.Popen[str]", name: str) -> str:
    rows = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(row.partition(":")[2].strip() for row in rows if row.startswith(f"{name}:"))


def test_it_prints_the_address_that_lets_in_and_ends_at_once(database: Path) -> None:
    with started(database) as (process, address):
        assert get(address) == 303
        assert get(address.partition("?")[0]) == 401
        rights = {status_of(process, name) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
        assert rights == {f"{0:016x}"}
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=10)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said


def test_who_goes_away_in_the_middle_takes_nobody_along(database: Path) -> None:
    """To a command line a closed pipe is the end; here it is a page that was closed."""
    with started(database, KERNELD_WEB_TOKEN="mine") as (process, address):
        where = ("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))
        asked = b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: token mine\r\n\r\n"
        for _ in range(20):
            with socket.create_connection(where) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(asked * 20)
        assert get(address, Authorization="token mine") == 200
        ignored = int(status_of(process, "SigIgn"), 16)
        assert ignored >> (signal.SIGPIPE - 1) & 1


def test_a_token_of_ones_own_is_not_printed(database: Path) -> None:
    with started(database, KERNELD_WEB_TOKEN="mine") as (process, address):
        assert address.endswith("/")
        assert get(address, Authorization="token mine") == 200
        environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert b"KERNELD_WEB_TOKEN" in environ, (
            "the environment is its user's to read, and no one else's"
        )


@pytest.mark.needs_root
def test_root_becomes_the_owner_of_the_database(database: Path) -> None:
    for file in (database, database.parent, *database.parent.iterdir()):
        os.chown(file, 20421, 20421)
    with started(database) as (process, address):
        assert get(address) == 303
        assert status_of(process, "Uid").split() == ["20421"] * 4
        assert status_of(process, "Groups") == ""


def test_a_port_that_is_taken_is_told(database: Path) -> None:
    with started(database) as (_, address):
        port = address.split(":")[2].partition("/")[0]
        argv = [sys.executable, "-m", "kerneld", "web", "--port", port, "--db", str(database)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port}: Address already in use; choose another --port" in done.stderr
