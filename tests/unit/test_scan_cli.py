"""`kerneld scan` as people and scripts use it: real processes, real files, real pipes."""

import bz2
import gzip
import json
import lzma
import os
import pty
import random
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scans import SIZES, report

from kerneld.outputs.scan import KEYS

RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
ARGV = [sys.executable, "-m", "kerneld", "scan"]
ENVIRON = {**os.environ, "TZ": "UTC", "COLUMNS": "80"}
AT = "2026-11-26T10:11:12+00:00 host kernel: "
KILL = f"{AT}Out of memory: Killed process 7 (py) {SIZES}\n"
CRASH = f"{AT.replace('T10', 'T11')}a[9]: segfault at 0 ip 00007f sp 0 error 4 in l.so[1,7f00+1000]\n"


def scan(
    *words: str | Path, text: str | bytes = "", **environ: str
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [*ARGV, *map(str, words)],
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        timeout=60,
        check=False,
        env={**ENVIRON, **environ},
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "kern.log"
    path.write_text(f"{AT}usb 1-1: new\n{KILL}{CRASH}")
    return path


def test_a_death_is_a_sentence_with_what_the_log_says_of_it() -> None:
    done = scan(text=report())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "+0:00:02  p7 (pid 7, uid 1000) was killed: the machine was out of memory\n"
        "          held 765 KiB of the machine's 2.0 GiB\n"
        "          not the largest: p499 (499) held 1.9 MiB\n"
        "          asked for memory then: py (77)\n"
        "          largest then: p499 (499) 1.9 MiB, p498 (498) 1.9 MiB,\n"
        "          p497 (497) 1.9 MiB, p496 (496) 1.9 MiB\n"
        "1 death in 504 lines.\n"
    )


def test_a_day_stands_above_its_events(log: Path) -> None:
    done = scan(log)
    assert done.stdout.startswith("Thu Nov 26 2026\n10:11:12  py (pid 7, uid 1000) was killed")
    assert done.stdout.endswith("2 deaths in 3 lines.\n")
    assert "          through a null pointer, by code in l.so\n" in done.stdout
    assert "Thu Nov 26 2026\n05:11:12" in scan("--tz", "-05:00", log).stdout


def test_json_is_one_object_a_line_with_every_key(log: Path) -> None:
    lines = scan("--json", log).stdout.splitlines()
    killed, crashed = map(json.loads, lines)
    assert list(killed) == list(crashed) == list(KEYS)
    assert (killed["kind"], killed["pid"], killed["time"]) == (
        "oom_global",
        7,
        "2026-11-26T10:11:12.000000Z",
    )
    assert (killed["source_file"], killed["line_number"]) == (str(log), 2)
    assert killed["line"] == KILL.removeprefix(AT).rstrip()
    assert killed["top"] == []
    assert (crashed["object"], crashed["fault_addr"], crashed["ip"]) == ("l.so", "0", "00007f")
    assert {key for key, value in crashed.items() if value is None} >= {
        "uid",
        "signal",
        "xid",
        "cgroup",
    }


@pytest.mark.parametrize(
    ("words", "pids"),
    [
        (("--since", "2026-11-26T11:00"), [9]),
        (("--until", "2026-11-26T11:00"), [7]),
        (("--since", "2026-11-26T11:00", "--tz", "+01:00"), [7, 9]),
        (("--pid", "9"), [9]),
        (("--comm", "py"), [7]),
        (("--comm", "p*"), [7]),
    ],
)
def test_events_are_narrowed(log: Path, words: tuple[str, ...], pids: list[int]) -> None:
    assert [json.loads(line)["pid"] for line in scan("--json", *words, log).stdout.splitlines()] == pids


def test_events_without_a_date_are_left_out_with_a_word() -> None:
    done = scan("--since", "2d", text=report())
    assert done.returncode == 1
    assert "1 event without a date left out" in done.stderr


@pytest.mark.parametrize(
    ("words", "text", "status", "said"),
    [
        ((), "nothing\n", 1, "no death is told in 1 line"),
        (("/nowhere/x.log",), "", 2, "/nowhere/x.log can't be read: No such file"),
        (("/",), "", 2, "/ is a directory"),
        ((sys.executable,), "", 2, "no log"),
        ((), random.Random(1).randbytes(4096), 2, "standard input is no text"),
        ((), "Kill\n".encode("utf-16"), 2, "iconv"),
        (("--tz", "Nowhere/At-all"), "", 2, "--tz 'Nowhere/At-all' is no zone"),
        (("--since", "whenever"), "", 2, "--since 'whenever' is no time"),
        (("--follow", "a", "b"), "", 2, "--follow goes with one FILE"),
        (("--nope",), "", 2, "--nope"),
    ],
    ids=[
        "no death", "no file", "a folder", "a program", "noise", "utf-16", "no zone", "no time",
        "two to follow", "no option",
    ],
)  # fmt: skip
def test_every_failure_has_its_status_and_one_clear_line(
    words: tuple[str, ...], text: str | bytes, status: int, said: str
) -> None:
    done = scan(*words, text=text)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_packed_files_are_unpacked_and_damaged_ones_named(tmp_path: Path) -> None:
    for name, pack in (("a.gz", gzip.compress), ("a.bz2", bz2.compress), ("a.xz", lzma.compress)):
        path = tmp_path / name
        path.write_bytes(pack(KILL.encode()))
        assert scan(path).returncode == 0, name
        path.write_bytes(pack(os.urandom(9000) + KILL.encode())[:5000])
        done = scan(path)
        assert done.returncode == 2
        assert "is damaged" in done.stderr or "is no text" in done.stderr


def test_what_a_cut_file_holds_is_told_before_its_damage(tmp_path: Path) -> None:
    for name, pack in (("a.gz", gzip.compress), ("a.bz2", bz2.compress), ("a.xz", lzma.compress)):
        path = tmp_path / name
        noise = "".join(f"{AT}{os.urandom(40).hex()}\n" for _ in range(30_000))
        path.write_bytes(pack((KILL + noise).encode())[:-2000])
        done = scan("--json", path)
        assert (done.returncode, json.loads(done.stdout)["pid"]) == (2, 7), name
        assert "is damaged" in done.stderr


def test_damage_inside_a_packed_file_is_one_clear_line(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(os.urandom(50_000).hex().encode()))
    packed[3000:3100] = bytes(100)
    path = tmp_path / "a.gz"
    path.write_bytes(packed)
    done = scan(path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_hole_in_a_log_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "kern.log"
    path.write_bytes(bytes(20_000) + KILL.encode() + bytes(3000) + CRASH.encode())
    assert scan(path).stdout.endswith("2 deaths in 2 lines.\n")


def test_one_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, log: Path) -> None:
    done = scan(tmp_path / "none.log", log)
    assert done.returncode == 2
    assert "none.log can't be read" in done.stderr
    assert done.stdout.endswith("2 deaths in 3 lines.\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pid", "99"), "2 deaths are told in 3 lines; none fits --pid 99"),
        (("--comm", "x*"), "2 deaths are told in 3 lines; none fits --comm x*"),
        (("--since", "2026-11-27"), "2 deaths are told in 3 lines; none fits --since"),
    ],
)
def test_deaths_that_were_not_asked_for_are_not_denied(
    log: Path, words: tuple[str, ...], said: str
) -> None:
    done = scan(*words, log)
    assert (done.returncode, said in done.stderr) == (1, True)


def test_zstd_is_unpacked_by_its_program_or_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd")
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-qf", "-o", path], input=KILL.encode(), check=True)
        assert scan(path).returncode == 0
    done = scan(path, PATH=str(tmp_path))
    assert (done.returncode, "install the program `zstd`" in done.stderr) == (2, True)


def test_several_files_are_told_apart(tmp_path: Path, log: Path) -> None:
    other = tmp_path / "b.log"
    other.write_text(CRASH)
    done = scan(log, other)
    told = "".join(done.stdout.split())
    assert f"{log},line2" in told
    assert f"{other},line1" in told
    assert done.stdout.endswith("2 deaths in 4 lines.\n"), "one crash stands in both"


@pytest.mark.parametrize(
    ("closed", "words", "status", "said"),
    [
        ("<&-", "", 2, "standard input can't be read"),
        (">&-", "{log}", 74, "output: Bad file descriptor"),
        ("2>&-", "/nowhere/x.log", 2, ""),
    ],
)
def test_a_closed_stream_is_no_traceback(
    log: Path, closed: str, words: str, status: int, said: str
) -> None:
    shell = f'exec "$@" {words.format(log=log)} {closed}'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *ARGV], capture_output=True, text=True, check=False, env=ENVIRON
    )
    assert (done.returncode, said in done.stderr) == (status, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["40", "80", "160"])
def test_no_line_is_wider_than_the_terminal_and_none_holds_a_raw_byte(columns: str) -> None:
    name = "\x1b]0;a\x07\u202e\n"
    hostile = json.dumps(
        {
            "_TRANSPORT": "kernel", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "kernel",
            "MESSAGE": f"Memory cgroup out of memory: Killed process 8 ({name}) {SIZES}",
        }
    )  # fmt: skip
    done = scan(text=report().decode() + hostile + "\n", COLUMNS=columns)
    assert "2 deaths" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= int(columns)
    assert not RAW.search(done.stdout)
    assert not RAW.search(scan("--json", text=hostile).stdout)


def test_colour_only_on_a_terminal(log: Path) -> None:
    def seen(**environ: str) -> bytes:
        master, slave = pty.openpty()
        with subprocess.Popen(
            [*ARGV, str(log)], stdout=slave, stderr=slave, env={**ENVIRON, "TERM": "xterm", **environ}
        ):
            os.close(slave)
            told = b""
            while True:
                try:
                    piece = os.read(master, 4096)
                except OSError:
                    break
                told += piece
        os.close(master)
        return told

    assert b"\x1b[31m" in seen()
    assert b"\x1b[" not in seen(NO_COLOR="1")


def test_a_closed_pipe_ends_it_without_a_word() -> None:
    many = KILL.encode() * 20_000
    with subprocess.Popen(
        ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018 - for mypy
        process.stdout.close()
        try:
            process.stdin.write(many)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.stderr.read() == b""


class Following:
    """A scan that follows; each event is awaited, never slept for."""

    def __init__(self, *words: str, stdin: int | None = None) -> None:
        self.process = subprocess.Popen(
            [*ARGV, "--json", *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=ENVIRON, text=True, bufsize=1,
        )  # fmt: skip

    def pid(self) -> int:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 30)[0], "an event within 30 s"
        return int(json.loads(self.process.stdout.readline())["pid"])


@pytest.fixture
def following() -> Iterator[list[Following]]:
    running: list[Following] = []
    yield running
    for each in running:
        each.process.kill()
        each.process.communicate()


def append(path: Path, pid: int) -> None:
    with path.open("a") as file:
        file.write(KILL.replace("process 7 ", f"process {pid} "))


def test_a_file_is_followed_through_growth_cut_and_rotation(
    tmp_path: Path, following: list[Following]
) -> None:
    path = tmp_path / "kern.log"
    append(path, 1)
    one = Following("--follow", str(path))
    following.append(one)
    assert one.pid() == 1
    append(path, 2)
    assert one.pid() == 2
    path.write_text(f"{AT}cut between two looks, and longer than before\n" * 9)
    append(path, 3)
    assert one.pid() == 3
    path.rename(tmp_path / "kern.log.1")
    append(path, 4)
    assert one.pid() == 4


def test_a_live_pipe_is_told_of_at_once(following: list[Following]) -> None:
    one = Following("-", stdin=subprocess.PIPE)
    following.append(one)
    assert one.process.stdin is not None
    one.process.stdin.write(KILL)
    one.process.stdin.flush()
    assert one.pid() == 7


def test_it_needs_neither_home_nor_database(tmp_path: Path, log: Path) -> None:
    done = scan(log, HOME=str(tmp_path / "none"), XDG_STATE_HOME="/nonexistent")
    assert done.returncode == 0
    assert sorted(tmp_path.iterdir()) == [log]
