"""What Linux and users write into /proc, read without being fooled. Hostile input is generated."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.model.process import CgroupLocation
from kerneld.model.vocabulary import ServerKind
from kerneld.parse.argv import (
    argv_notebook,
    connection_file_of,
    is_bare_ipykernel,
    kernel_implementation,
    server_kind,
)
from kerneld.parse.cgroups import (
    UNLIMITED_BYTES,
    container_of,
    parse_cgroup_bytes,
    parse_membership,
    parse_memory_events,
    parse_oom_control,
    unit_of,
)
from kerneld.parse.mounts import filesystem_type, parse_mountinfo
from kerneld.parse.procfs import (
    ENVIRON_NAMES,
    listening_tcp,
    listening_unix,
    parse_argv,
    parse_environ,
    parse_limits,
    parse_meminfo,
    parse_stat,
    parse_statm_rss,
    parse_status,
    storable,
)

TREE = Path(__file__).parent.parent / "captured/proc/ipykernel-v1"
KERNEL = TREE / "proc/11799"
FILE = "/home/ana/.local/share/jupyter/runtime/kernel-5d6fb3a1-0c41-4a0e-9f2e-3c0a6d9f7b11.json"


def captured(name: str) -> bytes:
    return (KERNEL / name).read_bytes()


def test_a_captured_stat() -> None:
    stat = parse_stat(captured("stat"))
    assert stat is not None
    assert (stat.pid, stat.comm, stat.state, stat.ppid) == (11799, "python", "S", 11796)
    assert (stat.pgrp, stat.session, stat.start_ticks) == (11799, 11799, 314873)
    assert (stat.cpu_ticks, stat.threads, stat.exit_code) == (32, 13, 0)


@pytest.mark.parametrize("comm", [b") R 1 2 3", b"x\ny) Z 0", b"((((", b"", b"\xff\xfe\xfd", b"a" * 15])
def test_a_comm_never_shifts_the_fields_of_stat(comm: bytes) -> None:
    stat = parse_stat(captured("stat").replace(b"(python)", b"(" + comm + b")"))
    assert stat is not None
    assert (stat.state, stat.ppid, stat.start_ticks) == ("S", 11796, 314873)
    assert stat.comm.encode("utf-8") == comm.decode("utf-8", "backslashreplace").encode()


def test_a_real_process_with_a_hostile_name_is_read_right() -> None:
    name = b") R 1 2 3\n4 5"
    code = f"import ctypes,sys; ctypes.CDLL(None).prctl(15, {name!r}); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = parse_stat(Path(f"/proc/{child.pid}/stat").read_bytes())
        status = parse_status(Path(f"/proc/{child.pid}/status").read_bytes())
        child.kill()
    assert stat is not None
    assert (stat.comm, stat.ppid, stat.pid) == (name.decode(), os.getpid(), child.pid)
    assert (status.tgid, status.uid) == (child.pid, os.getuid())


def test_a_fork_is_told_from_what_executed_its_program() -> None:
    code = "import os; print(os.fork() or '', flush=True); os.read(0, 1)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        fork = int(parent.stdout.readline().strip() or parent.stdout.readline())
        stats = [parse_stat(Path(f"/proc/{pid}/stat").read_bytes()) for pid in (parent.pid, fork)]
    assert [stat and (stat.pid, stat.is_fork) for stat in stats] == [(parent.pid, False), (fork, True)]


def test_a_zombie_tells_its_wait_status() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import os; os._exit(3)"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    stat = parse_stat(Path(f"/proc/{child.pid}/stat").read_bytes())
    status = parse_status(Path(f"/proc/{child.pid}/status").read_bytes())
    child.wait()
    assert stat is not None
    assert (stat.state, stat.exit_code) == ("Z", 3 << 8)
    assert (status.hwm_bytes, status.rss_bytes) == (None, None)


@given(st.binary(max_size=300))
def test_no_bytes_break_a_parser(data: bytes) -> None:
    parse_stat(data), parse_status(data), parse_statm_rss(data), parse_limits(data)
    parse_environ(data), parse_meminfo(data), parse_mountinfo(data)
    listening_tcp(data), listening_unix(data), parse_membership(data), parse_oom_control(data)
    parse_memory_events(data), parse_cgroup_bytes(data)
    argv = parse_argv(data)
    storable(" ".join(argv)).encode("utf-8")
    connection_file_of(argv), kernel_implementation(argv), server_kind(argv), argv_notebook(argv)


@pytest.mark.parametrize("name", ["stat", "status", "limits", "cgroup", "net/tcp", "environ"])
def test_a_truncated_file_breaks_no_parser(name: str) -> None:
    data = captured(name)
    for end in range(0, len(data), 7):
        part = data[:end]
        parse_stat(part), parse_status(part), parse_limits(part), parse_environ(part)
        listening_tcp(part), parse_membership(part)


def test_a_captured_status() -> None:
    status = parse_status(captured("status"))
    assert (status.tgid, status.uid, status.ns_pids) == (11799, 65534, (11799,))
    assert (status.hwm_bytes, status.rss_bytes, status.swap_bytes) == (51324 << 10, 51324 << 10, 0)
    assert status.core_dumping is False


def test_a_process_in_a_pid_namespace_has_two_pids() -> None:
    """Generated from the captured file: the line as a process of a container has it."""
    data = captured("status").replace(b"NSpid:\t11799", b"NSpid:\t11799\t1")
    assert parse_status(data).ns_pids == (11799, 1)


def test_statm_limits_meminfo_and_boot_time() -> None:
    assert parse_statm_rss(captured("statm")) == 51324 // 4
    assert parse_limits(captured("limits")).address_space_bytes == 16 << 30
    assert parse_limits(captured("limits")).data_bytes is None
    assert parse_limits(captured("limits")).stack_bytes == 8 << 20
    meminfo = parse_meminfo((TREE / "proc/meminfo").read_bytes())
    assert meminfo.total_bytes is not None
    assert meminfo.available_bytes is not None
    assert 0 < meminfo.available_bytes < meminfo.total_bytes


def test_environ_keeps_no_token_and_nothing_unasked() -> None:
    environ = parse_environ(captured("environ"))
    assert environ["JPY_SESSION_NAME"] == "/home/ana/Forecast März.ipynb"
    assert environ["JUPYTERHUB_SERVER_NAME"] == ""
    assert environ.keys() <= ENVIRON_NAMES
    assert b"0123456789abcdef" in captured("environ")
    assert "0123456789abcdef" not in repr(environ)


def test_the_first_of_two_equal_names_counts_and_a_huge_value_never() -> None:
    assert parse_environ(b"HOME=/a\0HOME=/b\0") == {"HOME": "/a"}
    assert parse_environ(b"HOME=" + b"x" * 5000 + b"\0HOME\0=x\0") == {}


def test_the_captured_kernel_listens_on_its_ports() -> None:
    sockets = [s for s in listening_tcp(captured("net/tcp") + captured("net/tcp6")) if s.uid == 65534]
    assert len(sockets) == 6
    assert all(s.address == "127.0.0.1" and s.inode for s in sockets)


def test_listeners_of_every_family_are_found() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as v4,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as v6,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        path = f"/tmp/kerneld test {os.getpid()}"
        unix.bind(path)
        unix.listen()
        data = Path("/proc/self/net/tcp").read_bytes() + Path("/proc/self/net/tcp6").read_bytes()
        ports = {(s.address, s.port, s.uid, s.inode) for s in listening_tcp(data)}
        pairs = listening_unix(Path("/proc/self/net/unix").read_bytes())
        os.unlink(path)
        inode = os.fstat(v4.fileno()).st_ino
        assert ("127.0.0.1", v4.getsockname()[1], os.getuid(), inode) in ports
        assert ("::1", v6.getsockname()[1], os.getuid(), os.fstat(v6.fileno()).st_ino) in ports
        assert (path, os.fstat(unix.fileno()).st_ino) in pairs


def test_the_filesystem_of_a_path_is_the_innermost_mounts() -> None:
    mountinfo = (TREE / "proc/self/mountinfo").read_bytes()
    assert filesystem_type(mountinfo, "/home/ana/x.json") == "ext4"
    assert filesystem_type(mountinfo, "/dev/shm/x") == "tmpfs"
    assert filesystem_type(mountinfo, "/dev/shmx") == "devtmpfs"
    assert filesystem_type(b"", "/") == ""


def test_a_mount_point_with_a_blank_and_optional_fields() -> None:
    """Generated: octal escapes and `shared:1 master:2` before the dash."""
    line = rb"9 1 0:5 /a /mnt/my\040disk rw shared:1 master:2 - nfs4 host:/x rw,vers=4" + b"\n"
    (mount,) = parse_mountinfo(line)
    assert (mount.root, mount.point, mount.fs_type) == ("/a", "/mnt/my disk", "nfs4")
    assert filesystem_type(line, "/mnt/my disk/kernel-1.json") == "nfs4"


SERVICE = "/kdcapture/user-1000.slice/jupyter-ana-singleuser.service"


def test_the_memory_controllers_cgroup_is_chosen() -> None:
    """The captured host is hybrid: v1 holds the memory controller, `0::/` is there too."""
    assert parse_membership(captured("cgroup")).memory == CgroupLocation(version=1, path=SERVICE)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"0::/user.slice/x.scope\n", CgroupLocation(version=2, path="/user.slice/x.scope")),
        (b"5:cpu,memory:/a:b\n0::/c\n", CgroupLocation(version=1, path="/a:b")),
        (b"3:cpu:/a\n", None),
        (b"", None),
    ],
    ids=["v2", "v1-with-colon", "no-memory", "empty"],
)
def test_cgroup_lines_of_other_hosts(data: bytes, expected: CgroupLocation | None) -> None:
    """Generated: hosts with cgroup v2 alone, and with co-mounted v1 controllers."""
    assert parse_membership(data).memory == expected


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/jupyter-ana-singleuser.service", "jupyter-ana-singleuser.service"),
        ("/user.slice/user-1.slice/user@1.service/app.slice/vte-spawn-a.scope", "vte-spawn-a.scope"),
        ("/user.slice/user-1.slice/user@1.service/init.scope/x", "init.scope"),
        ("/system.slice", None),
        ("/evil\x1b[31m.service", None),
        (None, None),
    ],
)
def test_the_unit_of_a_cgroup_path(path: str | None, unit: str | None) -> None:
    assert unit_of(path) == unit


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "how"),
    [
        (f"/docker/{HEX}", "docker"),
        (f"/system.slice/docker-{HEX}.scope/init", "docker"),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{HEX}.scope", "containerd"),
        (f"/kubepods/besteffort/pod12-34/{HEX}", "kubepods"),
        (f"/kubepods.slice/crio-{HEX}.scope", "crio"),
        (f"/machine.slice/libpod-{HEX}.scope/container", "podman"),
        (f"/user.slice/docker/{HEX}/kubepods/pod1/{'f' * 64}", "kubepods"),
        ("/system.slice/docker.service", None),
        ("/docker/0123", None),
    ],
)
def test_the_container_of_a_cgroup_path(path: str, how: str | None) -> None:
    container = container_of(path)
    assert (container.how if container else None) == how
    assert container is None or len(container.id) == 64


def test_no_limit_is_no_number() -> None:
    assert parse_cgroup_bytes(b"max\n") is None
    assert parse_cgroup_bytes(b"9223372036854771712\n") is None
    assert parse_cgroup_bytes(b"9223372036854710272\n") is None, "64 KiB pages"
    assert parse_cgroup_bytes(b"2147483648\n") == 2 << 30
    assert parse_cgroup_bytes(str(UNLIMITED_BYTES - 1).encode()) == UNLIMITED_BYTES - 1


def test_oom_counters_of_both_versions() -> None:
    v1 = (TREE / f"cgroup/memory{SERVICE}/memory.oom_control").read_bytes()
    assert (parse_oom_control(v1).oom, parse_oom_control(v1).oom_kill) == (None, 0)
    # generated: memory.events.local as cgroup-v2.rst lists it
    v2 = b"low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n"
    events = parse_memory_events(v2)
    assert (events.oom, events.oom_kill, events.oom_group_kill) == (2, 1, 0)
    assert parse_memory_events(b"").oom is None


SHAPES = [
    (["python", "-m", "ipykernel_launcher", "-f", FILE], "ipykernel", "python"),
    (["/usr/bin/python3", "-m", "ipykernel_launcher", f"--f={FILE}"], "ipykernel", "python"),
    (["python3", "-m", "ipykernel_launcher", f'--f="{FILE}"'], "ipykernel", "python"),
    (["python", "-m", "spyder_kernels.console", "-f", FILE], "ipykernel", "python"),
    (["/usr/lib/R/bin/exec/R", "--slave", "-e", "IRkernel::main()", "--args", FILE], "irkernel", "R"),
    (["python", "-m", "bash_kernel", "-f", FILE], "bash", "bash"),
    (["python3.11", "-m", "xpython_launcher", "-f", FILE], "xeus", "python"),
    (["/opt/conda/bin/xcpp", "-f", FILE, "-I", "/x", "-std=c++17"], "xeus", "c++"),
    (["julia", "-i", "-e", "import IJulia; IJulia.run_kernel()", FILE], "other", "julia"),
    (["deno", "jupyter", "--kernel", "--conn", FILE], "other", "typescript"),
    (["evcxr_jupyter", "--control_file", FILE], "other", "rust"),
    (["java", "-jar", "ganymede.jar", FILE], "other", "java"),
    (["sh", "-c", f"python3 -m ipykernel_launcher -f {FILE}; echo $?"], "ipykernel", "python"),
    (["bash", "-lc", f"source a && exec python -m bash_kernel -f '{FILE}'"], "bash", "bash"),
    ([f"python -m ipykernel_launcher -f {FILE}"], "ipykernel", "python"),
    (
        ["conda", "run", "-n", "e", "python", "-m", "ipykernel_launcher", "-f", FILE],
        "ipykernel",
        "python",
    ),
]


@pytest.mark.parametrize(("argv", "implementation", "language"), SHAPES, ids=lambda v: str(v)[:40])
def test_every_shape_of_command_line_names_its_file(
    argv: list[str], implementation: str, language: str
) -> None:
    assert connection_file_of(argv) == FILE
    assert kernel_implementation(argv) == (implementation, language)
    assert not is_bare_ipykernel(argv)


def test_headless_runs_keep_their_file_in_tmp() -> None:
    argv = ["python", "-m", "ipykernel_launcher", "-f", "/tmp/tmpab12_xyz.json", "--x=:memory:"]
    assert connection_file_of(argv) == "/tmp/tmpab12_xyz.json"
    with_blank = ["python", "-m", "ipykernel_launcher", "--f=/home/a b/kernel-1.json"]
    assert connection_file_of(with_blank) == "/home/a b/kernel-1.json"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [""],
        ["grep", "-f", "patterns.txt", "x"],
        ["make", "-f"],
        ["node", "/srv/app/package.json"],
        ["vim", "kernel-1.json"],
        ["python", "-c", "import json; print('unclosed"],
        ["sh", "-c", "x" * 100_000],
        ["sh", "-c", "-f " + "y" * 5000 + ".json"],
    ],
    ids=lambda argv: " ".join(argv)[:30],
)
def test_what_names_no_connection_file(argv: list[str]) -> None:
    assert connection_file_of(argv) is None


def test_a_bare_ipykernel_is_a_kernel_without_a_file() -> None:
    assert is_bare_ipykernel(["python", "-m", "ipykernel"])
    assert is_bare_ipykernel(["/usr/bin/python3.12", "-u", "-m", "ipykernel_launcher", "--debug"])
    assert not is_bare_ipykernel(["python", "-m", "ipykernel", "install", "--user"])
    assert not is_bare_ipykernel(["python", "-m", "ipykernel", "--version"])
    assert not is_bare_ipykernel(["sh", "-m", "ipykernel"])


@pytest.mark.parametrize(
    ("argv", "kind"),
    [
        (["/usr/bin/python3", "/usr/bin/jupyter-lab", "--ip=::"], ServerKind.JUPYTER_SERVER),
        (["python", "-m", "jupyterlab"], ServerKind.JUPYTER_SERVER),
        (["python", "-m", "jupyter", "notebook"], ServerKind.JUPYTER_SERVER),
        (["python3", "-X", "dev", "/x/jupyter-server-script.py"], ServerKind.JUPYTER_SERVER),
        (["python3", "/x/bin/jupyterhub-singleuser"], ServerKind.JUPYTERHUB),
        (["python3", "-m", "jupyterhub.singleuser"], ServerKind.JUPYTERHUB),
        (["python", "/x/papermill", "a.ipynb", "b.ipynb"], ServerKind.PAPERMILL),
        (["python", "-m", "papermill", "a.ipynb", "b.ipynb"], ServerKind.PAPERMILL),
        (["python", "/x/jupyter-nbconvert", "--execute", "a.ipynb"], ServerKind.NBCLIENT),
        (["python", "/x/jupyter", "execute", "a.ipynb"], ServerKind.NBCLIENT),
        (["python", "/x/jupyter-console"], ServerKind.CONSOLE),
        (["/usr/bin/python3", "/usr/bin/spyder"], ServerKind.SPYDER),
        (["/home/a/.vscode-server/bin/1/node", "--x", "/y/out/bootstrap-fork"], ServerKind.VSCODE),
        (["/proc/self/exe", "--utility-sub-type=node.mojom.NodeService"], ServerKind.VSCODE),
        (["python", "run_notebooks.py"], ServerKind.NONE),
        (["python", "-c", "import papermill"], ServerKind.NONE),
        (["bash"], ServerKind.NONE),
        ([], ServerKind.NONE),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else str(v),
)
def test_what_started_a_kernel(argv: list[str], kind: ServerKind) -> None:
    assert server_kind(argv) is kind


@pytest.mark.parametrize(
    ("argv", "notebook"),
    [
        (["papermill", "in.ipynb", "out.ipynb"], "in.ipynb"),
        (["papermill", "-p", "name", "x.ipynb", "in.ipynb", "out.ipynb"], "in.ipynb"),
        (["python", "/x/jupyter-nbconvert", "--output", "o.ipynb", "--execute", "i.ipynb"], "i.ipynb"),
        (["python", "/x/jupyter-execute", "a b.ipynb"], "a b.ipynb"),
        (["python", "/x/jupyter-lab", "a.ipynb"], None),
        (["papermill"], None),
    ],
)
def test_the_notebook_on_a_command_line(argv: list[str], notebook: str | None) -> None:
    assert argv_notebook(argv) == notebook


def test_a_path_that_is_no_utf8_opens_and_can_be_stored() -> None:
    raw = b"python\0-f\0/home/\xe4/kernel-1.json\0"
    path = connection_file_of(parse_argv(raw))
    assert path is not None
    assert os.fsencode(path) == b"/home/\xe4/kernel-1.json"
    assert storable(path) == "/home/\\xe4/kernel-1.json"


def test_a_wish_for_privacy_is_heard_however_long() -> None:
    """Generated. A value too long to be kept is left out, and a wish left out was no wish."""
    kept = parse_environ(b"KERNELD_CODE=off" + b" " * 100_000 + b"\0HOME=" + b"/" * 100_000)
    assert kept["KERNELD_CODE"].strip() == "off"
    assert "HOME" not in kept
