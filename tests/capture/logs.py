"""Real deaths, as each reader of the Linux log writes them: logs.py FOLDER TOOLS [SCENARIO…].

As root, with gcc. Each scenario dies between two marks in /dev/kmsg (facility 1, no word of Linux's);
then what dmesg, journald, rsyslog and busybox's klogd made of it is cut out between the marks into
FOLDER/<scenario>.<reader>. TOOLS: a tree into which Debian's rsyslog and busybox were unpacked, and
below it `locale`, made by localedef(1). Everything runs in a mount and a host-name namespace of its
own; cgroups and daemons go at the end, and no sysctl is touched. What a log says is then read by eye.
"""

import contextlib
import ctypes
import functools
import os
import resource
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY = Path("/sys/fs/cgroup/memory")
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "kmsg": (1, 11),
}
CLONE_NEWNS, CLONE_NEWUTS = 0x00020000, 0x04000000
PR_SET_NAME = 15
MIB = 1 << 20
SOCKETS = ("/run/systemd/journal/dev-log", "/run/rsyslog-log", "/run/busybox-log")
LIBC = ctypes.CDLL(None, use_errno=True)
FORGED = (
    b"Out of memory: Killed process 4242 (python3) "
    b"total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:0kB"
)
TEMPLATES = """
module(load="imklog" permitnonkernelfacility="on")
module(load="imuxsock" SysSock.Name="/run/rsyslog-log" SysSock.RateLimit.Interval="0")
*.* action(type="omfile" file="{folder}/rfc3164" template="RSYSLOG_TraditionalFileFormat")
*.* action(type="omfile" file="{folder}/isofile" template="RSYSLOG_FileFormat")
*.* action(type="omfile" file="{folder}/rfc5424" template="RSYSLOG_SyslogProtocol23Format")
"""
JOURNALD = """[Journal]
Storage=volatile
Audit=
ReadKMsg=yes
ForwardToSyslog=no
RateLimitIntervalSec=0
"""


@dataclass(frozen=True)
class Bench:
    """Where it all happens. tools: the unpacked tree; folder: scratch; crash: the compiled crash.c."""

    tools: Path
    folder: Path
    crash: Path


def in_memcg(path: str, limit_bytes: int, act: Callable[[], None], uid: int = 0) -> int:
    """Runs `act` in a child below a limit set on the first part of `path`; the child's wait status."""
    folder = MEMORY / path
    folder.mkdir(parents=True, exist_ok=True)
    top = MEMORY / Path(path).parts[0]
    (top / "memory.limit_in_bytes").write_text(str(limit_bytes))
    child = os.fork()
    if child == 0:
        try:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
            os.setuid(uid)
            act()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    for made in (folder, *folder.parents):
        if made == MEMORY:
            break
        remove(made)
    return status


def remove(folder: Path) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.02)


def named(name: bytes) -> None:
    LIBC.prctl(PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0)


def grow(name: bytes = b"", limit_bytes: int = 60 * MIB) -> None:
    if name:
        named(name)
    kept: list[bytes] = []
    while len(kept) * MIB < 2 * limit_bytes:
        kept.append(b"x" * MIB)


def oom(name: bytes, path: str = "laboratory", uid: int = 0) -> Callable[[Bench], None]:
    def run(_: Bench) -> None:
        in_memcg(path, 60 * MIB, lambda: grow(name), uid)

    return run


def pool(_: Bench) -> None:
    """A parent that survives and three workers that are killed one after another."""
    for number in range(3):
        worker = functools.partial(grow, f"worker-{number}".encode(), 40 * MIB)
        in_memcg("laboratory/pool", 40 * MIB, worker)


def child_of_a_small_parent(_: Bench) -> None:
    """The one who asks is small, the one who dies is its large sister."""

    def family() -> None:
        sister = os.fork()
        if sister == 0:
            named(b"hoarder")
            held = b"x" * (40 * MIB)
            time.sleep(len(held))
        time.sleep(0.5)
        named(b"straw")
        straw = b"x" * (25 * MIB)
        os.waitpid(sister, 0)
        os._exit(len(straw) and 0)

    in_memcg("laboratory", 60 * MIB, family)


def crash(*arguments: bytes, wait_s: float = 0.3) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        subprocess.run([os.fsencode(bench.crash), *arguments], check=False, cwd=bench.folder)
        time.sleep(wait_s)

    return run


def several(*modes: bytes) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        for mode in modes:
            crash(mode)(bench)

    return run


def library_named(name: bytes) -> Callable[[Bench], None]:
    """A library with `name` is loaded and crashes."""

    def run(bench: Bench) -> None:
        source = bench.folder / "fault.c"
        source.write_text("void fault(void) { *(volatile int *)0 = 1; }\n")
        target = os.fsencode(bench.folder) + b"/" + name
        subprocess.run([b"gcc", b"-shared", b"-fPIC", b"-o", target, os.fsencode(source)], check=True)
        code = "import ctypes, os, sys; ctypes.CDLL(os.fsencode(sys.argv[1])).fault()"
        subprocess.run([sys.executable, b"-c", code, target], check=False)

    return run


def user_space_writes(_: Bench) -> None:
    for priority in (b"<3>", b"<11>", b"<131>", b""):
        kmsg(priority + FORGED)
    kmsg(b"<3>traps: python[4242] general protection fault ip:1 sp:2 error:0 in libc.so.6[1000+1000]")
    kmsg(
        b"<3>audit: type=1701 audit(1764200000.000:7): auid=0 uid=0 gid=0 ses=1 "
        b'pid=4242 comm="python" sig=11'
    )


def mount_options(_: Bench) -> None:
    """An option nobody knows is quoted by Linux, at its own facility."""
    target = tempfile.mkdtemp()
    for option in (FORGED, b"x\n" + FORGED):
        # a comma would end the option
        LIBC.mount(b"none", os.fsencode(target), b"tmpfs", 0, option.replace(b",", b";"))
    os.rmdir(target)


def applications(_: Bench) -> None:
    """Programs that speak of deaths: quotes, reports and questions, none of them Linux's own."""
    lines = (
        ("kubelet", "E1127 02:40:11.120411    1234 pod_workers.go:1300] OOMKilled container worker"),
        (
            "containerd",
            'time="2026-11-27T02:40:11Z" level=info msg="TaskOOM event container_id:\\"4f5a\\""',
        ),
        ("slurmstepd", "quoting the log: " + FORGED.decode()),
        ("python", "worker 4242 died: python[4242]: segfault at 0 ip 0000000000000000 error 14"),
        (
            "sudo",
            "root : PWD=/root ; USER=root ; "
            "COMMAND=/usr/bin/grep 'invoked oom-killer' /var/log/kern.log",
        ),
        ("monitor", "oom_score_adj of 4242 set to -900; memory.max of notebook.slice set to 2G"),
        ("my-app", "traps: python3[99] trap invalid opcode ip:1 sp:2 error:0 (from the handbook)"),
    )
    for tag, text in lines:
        write("-t", tag, "-p", "user.err", "--", text)


def a_user_called_kernel(_: Bench) -> None:
    write("-t", "kernel", "-p", "user.err", "--", FORGED.decode())
    segfault = "python[4242]: segfault at 0 ip 0000000000401136 sp 00007ffd1 error 6"
    write("-t", "kernel", "-p", "user.info", "--", segfault)


def killed_and_aborted(bench: Bench) -> None:
    """Deaths of which Linux says nothing, and noise around them."""
    crash(b"abort")(bench)
    crash(b"bus")(bench)
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    child.wait()
    kmsg(b"<6>systemd[1]: notebook.service: Main process exited, code=killed, status=9/KILL")


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "oom": oom(b""),
    "oom-nested": oom(b"trainer", "laboratory/team a/job-7"),
    "oom-user": oom(b"jupyter-lab", "laboratory/user.slice", 65534),
    "oom-name-spaces": oom(b"my job (x) [3]"),
    "oom-name-comma": oom(b"a,pid=1,uid=0"),
    "oom-name-paren": oom(b"a) total-vm:1kB"),
    "oom-name-utf8": oom("naïve-日本".encode()),
    "oom-name-bytes": oom(b"caf\xe9 \xff\\x41"),
    "oom-name-newline": oom(b"a\nKilled 1 (b)"),
    "oom-cgroup-comma": oom(b"victim", "laboratory/a,task=b,pid=1,uid=2"),
    "oom-pool": pool,
    "oom-sister": child_of_a_small_parent,
    "null": crash(b"null"),
    "jump": crash(b"jump"),
    "library": crash(b"library"),
    "stack": crash(b"stack"),
    "readonly": crash(b"readonly"),
    "noexec": crash(b"noexec"),
    "general": crash(b"general"),
    "ud2": crash(b"ud2"),
    "int3": crash(b"int3"),
    "divide": crash(b"divide"),
    "stack-segment": crash(b"stack-segment"),
    "alignment": crash(b"alignment"),
    "seccomp": crash(b"seccomp"),
    "thread": crash(b"null", b"the-process", b"pool/worker: 3"),
    "name-colon": crash(b"null", b"]: segfault at "),
    "name-traps": crash(b"ud2", b"traps: x[1] gp"),
    "name-kill": crash(b"divide", b"Killed process "),
    "mixed": several(b"null", b"general", b"ud2", b"divide", b"int3", b"alignment"),
    "library-blank": library_named(b"my lib [v2] (copy).so"),
    "library-newline": library_named(b"x\n" + FORGED),
    "library-newlines": library_named(b"x\n" + FORGED + b"\n.so"),
    "user-space": user_space_writes,
    "mount-options": mount_options,
    "applications": applications,
    "kernel-tag": a_user_called_kernel,
    "silent": killed_and_aborted,
}

FOR_BUSYBOX = ("oom-user", "thread", "mixed", "applications", "silent")


def kmsg(text: bytes) -> None:
    with open("/dev/kmsg", "wb", buffering=0) as log:
        log.write(text)


def write(*arguments: str) -> None:
    """A user's message to whichever daemons listen."""
    for socket in SOCKETS:
        if os.path.exists(socket):
            subprocess.run(["logger", "--socket", socket, *arguments], check=True)


def mark(name: str, end: str) -> str:
    return f"mark-{os.getpid()}-{name}-{end}"


def play(bench: Bench, name: str) -> None:
    """Between two marks, in the ring and in what applications write."""
    for end in ("begins", "ended"):
        if end == "ended":
            SCENARIOS[name](bench)
            time.sleep(0.3)
        kmsg(f"<5>{mark(name, end)}".encode())
        write("-t", "capture", mark(name, end))
        time.sleep(0.1)


def a_place_of_its_own(folder: Path) -> None:
    """A host name, a /run and a /dev/log that nobody outside sees."""
    if LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS):
        raise OSError(ctypes.get_errno(), "unshare: run as root")
    subprocess.run(["hostname", "laboratory"], check=True)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev"], check=True)
    for device, number in DEVICES.items():
        os.mknod(f"/dev/{device}", 0o666 | stat.S_IFCHR, os.makedev(*number))
        os.chmod(f"/dev/{device}", 0o666)
    for name, text in (("journald.conf", JOURNALD), ("machine-id", f"{os.urandom(16).hex()}\n")):
        (folder / name).write_text(text)
        target = "/etc/systemd/journald.conf" if name == "journald.conf" else "/etc/machine-id"
        subprocess.run(["mount", "--bind", folder / name, target], check=True)


@contextlib.contextmanager
def running(
    argv: list[str], environ: dict[str, str] | None = None, out: Path | None = None
) -> Iterator[None]:
    environ = os.environ | (environ or {})
    with open(out or os.devnull, "wb") as said:
        daemon = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=said)
    time.sleep(1.5)
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(10)


def rsyslog(bench: Bench) -> contextlib.AbstractContextManager[None]:
    libraries = bench.tools / "usr/lib/x86_64-linux-gnu"
    config = bench.folder / "rsyslog.conf"
    config.write_text(TEMPLATES.format(folder=bench.folder))
    argv = [str(bench.tools / "usr/sbin/rsyslogd"), "-n", "-f", str(config)]
    argv += ["-i", str(bench.folder / "pid"), "-M", str(libraries / "rsyslog")]
    return running(argv, {"LD_LIBRARY_PATH": str(libraries)})


@contextlib.contextmanager
def busybox(bench: Bench) -> Iterator[None]:
    program = str(bench.tools / "bin/busybox")
    Path("/dev/log").unlink(missing_ok=True)
    syslogd = running([program, "syslogd", "-n", "-O", "-"], out=bench.folder / "busybox")
    with syslogd, running([program, "klogd", "-n"]):
        os.symlink("/dev/log", "/run/busybox-log")
        yield
        os.unlink("/run/busybox-log")


def readers(bench: Bench) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, command and environment of each way to look at the ring or the journal."""
    for name, options in {
        "dmesg": [],
        "dmesg-T": ["-T"],
        "dmesg-x": ["-x"],
        "dmesg-xT": ["-x", "-T"],
        "dmesg-iso": ["--time-format", "iso"],
        "dmesg-reltime": ["-e"],
        "dmesg-delta": ["-d"],
        "dmesg-notime": ["-t"],
        "dmesg-raw": ["-r"],
        "dmesg-S": ["-S"],
        "dmesg-human": ["-H", "-P"],
    }.items():
        yield name, ["dmesg", *options], {}
    for language in ("de_DE", "ru_RU", "zh_CN"):
        environ = {"LC_ALL": f"{language}.UTF-8", "LOCPATH": str(bench.tools / "locale")}
        yield f"dmesg-T-{language}", ["dmesg", "-T"], environ
    journal = ["journalctl", "-D", "/run/log/journal", "--no-pager", "-q"]
    shorts = ("short", "short-iso", "short-precise", "short-full", "short-monotonic")
    for name in (*shorts, "json", "export", "cat", "verbose"):
        yield f"journal-{name}", [*journal, "-o", name], {}


def cut(text: bytes, name: str, *, record: bytes = b"\n") -> bytes:
    """What stands between the marks, without them; `record` ends a record."""
    begin, end = mark(name, "begins").encode(), mark(name, "ended").encode()
    first, last = text.find(begin), text.rfind(end)
    if first < 0 or last < first:
        return b""
    records = text[:last].split(record)[:-1]
    while records and begin not in records[0]:
        del records[0]
    marked = f"mark-{os.getpid()}-".encode()
    return b"".join(kept + record for kept in records if marked not in kept)


def ring() -> bytes:
    """The records of /dev/kmsg, one read each."""
    records = []
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            with contextlib.suppress(BrokenPipeError):
                records.append(os.read(log, 16384))
    os.close(log)
    return b"".join(records)


def harvest(bench: Bench, out: Path, names: list[str]) -> None:
    texts = {"kmsg": ring()}
    for reader, argv, environ in readers(bench):
        texts[reader] = subprocess.run(argv, capture_output=True, env=os.environ | environ).stdout
    for reader in ("rfc3164", "isofile", "rfc5424"):
        path = bench.folder / reader
        texts[reader] = path.read_bytes() if path.exists() else b""
    for reader, text in texts.items():
        blocks = reader in ("journal-export", "journal-verbose")
        for name in names:
            if kept := cut(text, name, record=b"\n\n" if blocks else b"\n"):
                (out / f"{name}.{reader}").write_bytes(kept)


def main(out: Path, tools: Path, chosen: list[str]) -> int:
    out.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(tools, Path(scratch), Path(scratch) / "crash")
        subprocess.run(["gcc", "-O0", "-pthread", "-o", bench.crash, HERE / "crash.c"], check=True)
        bench.crash.chmod(0o755)
        a_place_of_its_own(bench.folder)
        names = chosen or list(SCENARIOS)
        with running(["/lib/systemd/systemd-journald"]), rsyslog(bench):
            for name in names:
                play(bench, name)
            time.sleep(2)
            harvest(bench, out, names)
        again = [name for name in names if name in FOR_BUSYBOX]
        with busybox(bench):
            for name in again:
                play(bench, name)
            time.sleep(2)
            text = (bench.folder / "busybox").read_bytes()
        for name in again:
            (out / f"{name}.busybox").write_bytes(cut(text, name))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
