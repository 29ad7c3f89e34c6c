"""`kerneld scan` over a large log with few hits, beside `grep -F` over the same, in turns.

The figures to reach: at least 100 MB/s on one core, at most 80 MiB of memory whatever the log's size;
the latter for one line of the whole size and for a task table without end, too.
`python tests/bench/bench_scan.py`
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

CHUNK_LINES = 20_000
KILL = (
    "Jan 12 03:14:{s:02} node7 kernel: [{up:12.6f}] Out of memory: Killed process {pid} (python3) "
    "total-vm:9000kB, anon-rss:7000kB, file-rss:600kB, shmem-rss:0kB, UID:1000 pgtables:90kB "
    "oom_score_adj:0\n"
)
ORDINARY = (
    "sshd[{n}]: Accepted publickey for build from 10.1.{a}.{b} port {n} ssh2: RSA SHA256:Vb0q{n:x}",
    "systemd[1]: Started Session {n} of user build.",
    "CRON[{n}]: (root) CMD (test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily)",
    "kernel: [{up:12.6f}] [UFW BLOCK] IN=eth0 OUT= MAC=f2:3c:91 SRC=45.134.{a}.{b} LEN=40 TTL=24",
    "kernel: [{up:12.6f}] docker0: port {a}(veth{n:x}) entered forwarding state",
    'dockerd[812]: time="2026-01-12T03:14:07Z" level=info msg="ignoring event" container={n:x}',
    "app[{n}]: GET /api/v2/items/{n}?page={a} 200 {b} ms, 12 rows, cache hit, user {a}",
    "NetworkManager[640]: <info>  [1768187647.{n}] dhcp4 (eth0): state changed bound -> extended",
)


def ordinary(source: random.Random, lines: int, up: float) -> bytes:
    """A piece of a syslog in which nobody dies."""
    told = []
    for index in range(lines):
        words = source.choice(ORDINARY).format(
            n=source.randrange(1000, 60_000),
            a=source.randrange(255),
            b=source.randrange(255),
            up=up + index,
        )
        told.append(f"Jan 12 03:14:{index % 60:02} node7 {words}\n")
    return "".join(told).encode()


def few_hits(size: int) -> Iterator[bytes]:
    source = random.Random(7)
    pieces = [ordinary(source, CHUNK_LINES, up) for up in (1e3, 5e4, 9e5, 4e6)]
    done = number = 0
    while done < size:
        piece = pieces[number % len(pieces)]
        number += 1
        yield piece
        kill = KILL.format(s=number % 60, up=float(number), pid=1000 + number).encode()
        yield kill
        done += len(piece) + len(kill)


def one_line(size: int) -> Iterator[bytes]:
    piece = b"x segfault rocess oom-kill " * 40_000
    for _ in range(size // len(piece) + 1):
        yield piece


def endless_table(size: int) -> Iterator[bytes]:
    at = "[    1.000000]"
    yield f"{at} a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_adj=0\n".encode()
    yield f"{at} [  pid  ]   uid  tgid total_vm      rss pgtables_bytes oom_score_adj name\n".encode()
    rows = "".join(
        f"{at} [{pid:7}]     0 {pid:5}    28151    27132   274432             0 python3\n"
        for pid in range(1, 20_000)
    ).encode()
    for _ in range(size // len(rows) + 1):
        yield rows


LOGS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "few hits": few_hits,
    "one line": one_line,
    "endless task table": endless_table,
}


def run(argv: list[str]) -> tuple[float, float, int]:
    """CPU seconds, peak MiB and exit status of a whole process."""
    # grep ends at the first hit where its output is /dev/null
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode


def measure(name: str, path: Path, turns: int) -> None:
    size_mb = path.stat().st_size / 1e6
    ours = [sys.executable, "-m", "kerneld", "scan", str(path)]
    grep = ["grep", "-cF", "Killed process", str(path)]
    run(grep)  # into the page cache
    pairs = [(run(ours), run(grep)) for _ in range(turns)]
    speeds = [size_mb / one[0] for one, _ in pairs]
    ratios = [one[0] / other[0] for one, other in pairs]
    peak = max(one[1] for one, _ in pairs)
    print(
        f"{name:18} {size_mb:6.0f} MB  {median(speeds):5.0f} MB/s "
        f"({min(speeds):.0f} to {max(speeds):.0f}), "
        f"{median(ratios):.1f} times grep -F's CPU, peak {peak:.0f} MiB, exit status {pairs[0][0][2]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kerneld-bench-", dir="/var/tmp") as folder:
        for name, pieces in LOGS.items():
            path = Path(folder) / "log"
            share = 1 if name == "few hits" else 10
            with path.open("wb") as file:
                file.writelines(pieces(wanted.megabytes * 1_000_000 // share))
            measure(name, path, wanted.turns)


if __name__ == "__main__":
    main()
