"""What the page costs with 100,000 incidents: `python tests/bench/bench_web.py [COUNT]`.

The first page, others, and /metrics as the server's own time over a kept connection, after an incident
settled and again; then what 200 open pages cost while nothing happens.
"""

import http.client
import os
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from incidents import full

from kerneld.model.incident import NotebookPart, UserPart
from kerneld.model.vocabulary import Cause
from kerneld.store import Store

PAGES = 200
LISTEN = b"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: token bench\r\n\r\n"
PATHS = (
    "/",
    "/?period=all",
    "/?period=all&user=user3",
    "/?before={before}",
    "/metrics",
    "/incidents/77",
)


def fill(store: Store, count: int) -> None:
    random.seed(1)
    base, now = full(), datetime.now(UTC)
    causes = [cause for cause in Cause if cause.category.value != "requested"]
    for first in range(0, count, 2000):
        ends = []
        for number in range(first, min(first + 2000, count)):
            person, cause = random.randrange(300), random.choice(causes)
            ends.append(
                base.model_copy(
                    update={
                        "id": None, "uuid": str(uuid.UUID(int=random.getrandbits(128))),
                        "cause": cause, "category": cause.category, "loop": None,
                        "died_at": now - timedelta(days=180 * (1 - number / count)),
                        "user": UserPart(uid=1000 + person, name=f"user{person}"),
                        "notebook": NotebookPart(path=f"/home/u/{number % 2000}.ipynb", how="environ"),
                    }
                )
            )  # fmt: skip
        store.save_all([(end, None) for end in ends])


def get(connection: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": "token bench"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, (path, answer.status)
    return time.perf_counter() - began


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        database = Path(folder) / "kerneld.db"
        with Store.open(database) as store:
            fill(store, count)
            with served(database) as (port, pid):
                measure(store, port, pid)


@contextmanager
def served(database: Path) -> Iterator[tuple[int, int]]:
    """The port and pid of a page."""
    argv = [sys.executable, "-m", "kerneld", "web", "--port", "0", "--db", str(database)]
    environ = os.environ | {"KERNELD_WEB_TOKEN": "bench"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environ) as page:
        assert page.stdout
        yield int(page.stdout.readline().strip().rstrip("/").rpartition(":")[2]), page.pid
        page.terminate()


@contextmanager
def opened(port: int, count: int) -> Iterator[None]:
    """So many pages that listen to what settles, and read it."""
    streams = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    with selectors.DefaultSelector() as waiting:
        for stream in streams:
            stream.sendall(
                b"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: token bench\r\n\r\n"
            )
            assert stream.recv(4096).startswith(b"HTTP/1.1 200")
            waiting.register(stream, selectors.EVENT_READ)
        over = threading.Event()

        def read() -> None:
            while not over.is_set():
                for key, _ in waiting.select(0.2):
                    key.fileobj.recv(1 << 16)  # type: ignore[union-attr]

        thread = threading.Thread(target=read)
        thread.start()
        yield
        over.set()
        thread.join()
    for stream in streams:
        stream.close()


def measure(store: Store, port: int, pid: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    half = int((datetime.now(UTC) - timedelta(days=90)).timestamp() * 1e6)
    get(connection, "/healthz")
    for path in PATHS:
        path = path.format(before=f"{half}-1")
        colds, warms = [], []
        for _ in range(7):
            store.save_all([(full(uuid=str(uuid.uuid4()), died_at=datetime.now(UTC)), None)])
            colds.append(get(connection, path))
            warms.append(get(connection, path))
        cold, warm = (f"{statistics.median(each) * 1e3:.0f} ms" for each in (colds, warms))
        print(f"{path:<28} after an incident {cold:>8}, again {warm:>8}")
    with opened(port, PAGES):
        before, began = cpu_s(pid), time.perf_counter()
        time.sleep(10)
        share = (cpu_s(pid) - before) / (time.perf_counter() - began)
    rss = next(r for r in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in r)
    print(f"{PAGES} open pages: {share:.2%} of a core, {int(rss.split()[1]) // 1024} MiB")


if __name__ == "__main__":
    main()
