"""A log's text or bytes to its events, and lines and records that several tests of the reader share."""

import json
from datetime import UTC, datetime

from kerneld.model.records import LogEvent
from kerneld.scan.reader import LogReader

LATEST = datetime(2026, 11, 27, tzinfo=UTC)
SIZES = (
    "total-vm:900kB, anon-rss:700kB, file-rss:60kB, shmem-rss:5kB, "
    "UID:1000 pgtables:9kB oom_score_adj:-7"
)


def scan(text: str | bytes) -> list[LogEvent]:
    data = text if isinstance(text, bytes) else text.encode()
    reader = LogReader(zone=UTC, latest=LATEST, source_file="x")
    return [*reader.feed(data), *reader.close()]


JOURNAL = {
    "__REALTIME_TIMESTAMP": "1795687872123456", "_TRANSPORT": "kernel", "PRIORITY": "3",
    "SYSLOG_FACILITY": "0", "SYSLOG_IDENTIFIER": "kernel", "_SOURCE_MONOTONIC_TIMESTAMP": "12345678",
    "MESSAGE": f"Out of memory: Killed process 7 (py) {SIZES}",
}  # fmt: skip


def exported(record: dict[str, str]) -> bytes:
    """https://systemd.io/JOURNAL_EXPORT_FORMATS"""
    told = b"__CURSOR=s=1;i=2\n"
    for key, value in record.items():
        raw = value.encode()
        told += (
            key.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
            if "\n" in value
            else f"{key}={value}\n".encode()
        )
    return told + b"\n"


FORMS = {
    "json": lambda record: json.dumps(record).encode() + b"\n",
    "json-pretty": lambda record: json.dumps(record, indent=8).encode() + b"\n",
    "export": exported,
}


def report() -> bytes:
    rows = "".join(
        f"[    1.{pid:06}] [{pid:7}]     0 {pid:5}    28151 {pid:5}   274432      0       0 p{pid}\n"
        for pid in range(1, 500)
    )
    return (
        "[    1.000000] py invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
        "[    1.000000] CPU: 0 PID: 77 Comm: py Not tainted 6.1\n[    1.000000] 524288 pages RAM\n"
        "[    1.000000] [  pid  ]   uid  tgid total_vm rss pgtables_bytes swapents oom_score_adj name\n"
        f"{rows}[    2.000000] Out of memory: Killed process 7 (p7) {SIZES}\n"
    ).encode()


OOMD = (
    "Killed /user.slice/a b.scope due to memory pressure for /user.slice being 64.15% > 50.00% "
    "for > 20s with reclaim activity"
)
EARLY = 'sending SIGTERM to process 696 uid 1001 "a"b": badness 757, VmRSS 637 MiB'

LINES = [
    ("systemd-oomd[34]", OOMD, ("oomd", None, None, None)),
    ("systemd-oomd[34]",
     "Killed /a due to memory used (1) / total (2) and swap used (3) / total (4) being more than 9.00%",
     ("oomd", None, None, None)),
    ("earlyoom[5]", EARLY, ("earlyoom", 696, 'a"b', 15)),
    ("earlyoom[5]", 'sending SIGKILL to process 696 uid 1 "x": oom_score 7, VmRSS 6 MiB, cmdline "x y"',
     ("earlyoom", 696, "x", 9)),
    ("earlyoom[5]", 'sending SIGTERM to process 696 "x": badness 757, VmRSS 637 MiB',
     ("earlyoom", 696, "x", 15)),
    ("earlyoom[5]", 'killing process 696 "x" with signal 15: badness 698, VmRSS 1 MiB',
     ("earlyoom", 696, "x", 15)),
    ("earlyoom", "Killing process 'x' with signal 9, pid: 696, badness: 538, VmRSS: 3160 MiB",
     ("earlyoom", 696, "x", 9)),
    ("systemd-coredump[7]", "Process 334 (a (b)) of user 0 dumped core.",
     ("coredump", 334, "a (b)", None)),
    ("systemd-coredump[7]", "[🡕]  Process 334 (x) of user 0 dumped core.",
     ("coredump", 334, "x", None)),
    ("systemd-coredump[7]", "[🡕] Process 334 (x) of user 0 dumped core.",
     ("coredump", 334, "x", None)),
    ("systemd-coredump[7]", "Process 334 (x) of user 1 terminated abnormally with signal 11/SEGV, pro",
     ("coredump", 334, "x", 11)),
]  # fmt: skip
