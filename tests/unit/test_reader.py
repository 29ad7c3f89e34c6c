"""The reader process with real kernels: it hears all, may do nothing, and no kernel grows by it."""

import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import zmq
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session
from reader_rig import (
    HANDLE,
    Rig,
    add_spec,
    fake_file,
    intercepted,
    is_a,
    is_cell,
    notebook,
    rss_kib,
    status_of,
)

from kerneld.model.effects import Listen, ReadConnection, ReleaseFile
from kerneld.model.facts import SourceLost, SourceState
from kerneld.model.said import CellFailed, CellStarted, KernelStatus, ListenState, ShutdownAnnounced
from kerneld.model.wire import READING_AT, SHAKING_AT, WORKING_ON, ReadOrder
from kerneld.reader.backlog import MAX_BYTES, MAX_BYTES_OF_ALL, MAX_MESSAGES, Backlog, Heard
from kerneld.reader.pace import Pace

NOTE = "kerneld-reader-note"


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        yield made
    finally:
        made.stop()


# ------------------------------------------------------------------ what it hears


def test_an_ipykernel_is_heard_from_its_cells_to_its_restart_and_end(rig: Rig, tmp_path: Path) -> None:
    """States, source, errors and announced ends arrive, over a restart on the same ports too."""
    with notebook(tmp_path) as book:
        rig.follow(book, "ipykernel")
        book.run("x = 'é' * 3")
        cell = rig.wait_for(is_cell("x = 'é' * 3"))
        assert isinstance(cell, CellStarted)
        assert (cell.handle, cell.code.parsed) == (HANDLE, True)
        assert abs((datetime.now(UTC) - cell.at).total_seconds()) < 5
        busy = rig.wait_for(lambda f: isinstance(f, KernelStatus) and f.parent == cell.parent)
        assert isinstance(busy, KernelStatus)
        assert (busy.state, busy.parent_type) == ("busy", "execute_request")
        book.run("1 / 0")
        failed = rig.wait_for(is_a(CellFailed))
        assert isinstance(failed, CellFailed)
        assert (failed.name, failed.value) == ("ZeroDivisionError", "division by zero")
        book.manager.restart_kernel()
        announced = rig.wait_for(is_a(ShutdownAnnounced))
        assert isinstance(announced, ShutdownAnnounced)
        assert announced.restart
        # its `starting` may be said before the socket has joined it again
        book.await_answer()
        book.run("y = 'after the restart'")
        rig.wait_for(is_cell("y = 'after the restart'"))
        count = len(rig.told)
        book.client.shutdown()
        ended = rig.wait_for(is_a(ShutdownAnnounced), since=count)
        assert isinstance(ended, ShutdownAnnounced)
        assert not ended.restart


@pytest.mark.parametrize(
    ("implementation", "module", "code"),
    [("bash", "bash_kernel", "echo hello"), ("xeus", "xpython_launcher", "z = 1")],
)
def test_other_kernels_are_heard_under_their_own_topics(
    rig: Rig, tmp_path: Path, implementation: str, module: str, code: str
) -> None:
    pytest.importorskip(module)
    add_spec(tmp_path, f"x{module}", module)
    with notebook(tmp_path, f"x{module}") as book:
        rig.follow(book, implementation)
        book.run(code)
        cell = rig.wait_for(is_cell(code))
        assert isinstance(cell, CellStarted)
        assert cell.code.parsed == (implementation == "xeus")
        if implementation == "bash":  # xeus 6 is gone so fast that 1 of 40 of its last words was lost
            book.client.shutdown(restart=True)
            announced = rig.wait_for(is_a(ShutdownAnnounced))
            assert isinstance(announced, ShutdownAnnounced)
            assert announced.restart


def test_a_kernel_of_unknown_make_is_heard_where_its_topics_are_known(rig: Rig, tmp_path: Path) -> None:
    with notebook(tmp_path) as book:
        rig.follow(book, "other")
        book.run("q = 1")
        rig.wait_for(is_cell("q = 1"))


def test_a_forged_message_is_dropped(rig: Rig, tmp_path: Path) -> None:
    """A stranger on the port without the key is counted and never becomes a fact."""
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    path = fake_file(tmp_path, iopub_port=port)
    try:
        rig.listen(path, "ipykernel")
        assert publisher.poll(5000), "the reader subscribed"
        forger, owner = Session(key=b"another key"), Session(key=b"the key")
        for session, code in ((forger, "forged"), (Session(key=b""), "unsigned"), (owner, "true")):
            message = session.msg("execute_input", {"code": code, "execution_count": 1})
            publisher.send_multipart([b"kernel.x.execute_input", *session.serialize(message)])
        publisher.send_multipart([b"kernel.x", b"\x1b[2J" * 9])
        rig.wait_for(is_cell("true"))
        cells = [fact for fact in rig.told if isinstance(fact, CellStarted)]
        states = [(f.listening, f.reason) for f in rig.told if isinstance(f, ListenState)]
    finally:
        context.destroy(0)
    assert [cell.source for cell in cells] == ["true"]
    assert [listening for listening, _ in states] == [True, False, True]
    assert "signature" in states[1][1]


def test_a_recorded_goodbye_is_not_believed(rig: Rig, tmp_path: Path) -> None:
    """Whoever recorded one life's messages can bind the port after the next: they are signed well."""
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    path = fake_file(tmp_path, iopub_port=publisher.bind_to_random_port("tcp://127.0.0.1"))
    first, second = Session(key=b"the key"), Session(key=b"the key")

    def says(session: Session, kind: str, content: object) -> list[bytes]:
        return [b"kernel.x", *session.serialize(session.msg(kind, content))]

    goodbye = says(first, "shutdown_reply", {"restart": True})
    old = first.msg("shutdown_reply", {"restart": False})
    old["header"]["date"] = datetime.now(UTC) - timedelta(minutes=2)
    try:
        rig.listen(path, "ipykernel")
        assert publisher.poll(5000), "the reader subscribed"
        for frames in (
            says(first, "execute_input", {"code": "one", "execution_count": 1}),
            goodbye,
            says(second, "execute_input", {"code": "two", "execution_count": 1}),
            goodbye,
            [b"kernel.x", *Session(key=b"the key").serialize(old)],
            says(second, "execute_input", {"code": "three", "execution_count": 2}),
        ):
            publisher.send_multipart(frames)
        rig.wait_for(is_cell("three"))
    finally:
        context.destroy(0)
    assert len([fact for fact in rig.told if isinstance(fact, ShutdownAnnounced)]) == 1


def test_an_endless_multipart_and_a_huge_frame_do_not_end_the_reader(rig: Rig, tmp_path: Path) -> None:
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    path = fake_file(tmp_path, iopub_port=port)
    session = Session(key=b"the key")
    message = session.msg("execute_input", {"code": "1", "execution_count": 1})
    try:
        rig.listen(path, "ipykernel")
        pid = rig.pid
        assert publisher.poll(5000)
        publisher.send_multipart([b"kernel.x"] * 10_000)
        publisher.send_multipart([b"kernel.", b"x" * 20_000_000])
        publisher.recv()
        assert publisher.poll(5000), "dropped for the huge frame, and connected again"
        while publisher.recv()[0] != 1:
            assert publisher.poll(5000)
        publisher.send_multipart([b"kernel.x", *session.serialize(message)])
        rig.wait_for(is_cell("1"))
        assert rig.pid == pid
    finally:
        context.destroy(0)


# ------------------------------------------------------------------ what it refuses


def test_losses_are_told_once_a_second(rig: Rig, tmp_path: Path) -> None:
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    try:
        assert rig.listen(fake_file(tmp_path, iopub_port=port), "ipykernel").listening
        publisher.recv()
        rig.told.clear()
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            publisher.send_multipart([b"kernel.x", *[b"x"] * 6])
    finally:
        context.destroy(0)
    rig.wait_for(is_a(SourceLost))
    while not rig.queue.empty():
        rig.told.append(rig.queue.get())
    assert 1 <= sum(isinstance(fact, SourceLost) for fact in rig.told) <= 3


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"curve_publickey": "x" * 39}, "encrypted"),
        ({"curve_publickey": "#" * 40}, "encrypted"),
        ({"key": ""}, "no key"),
        ({"signature_scheme": "none"}, "scheme"),
        ({"transport": "ipc", "ip": "/run/dbus/system_bus_socket"}, "beside"),
        ({"transport": "ipc", "ip": "relative"}, "beside"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_not_listened_to_says_why(
    rig: Rig, tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    state = rig.listen(fake_file(tmp_path, **changes), "ipykernel")
    assert not state.listening
    assert word in state.reason


def test_a_publisher_that_asks_for_a_password_is_not_listened_to(rig: Rig, tmp_path: Path) -> None:
    context = zmq.Context()
    publisher = context.socket(zmq.PUB)
    publisher.set(zmq.PLAIN_SERVER, 1)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    try:
        state = rig.listen(fake_file(tmp_path, iopub_port=port), "ipykernel")
    finally:
        context.destroy(0)
    assert not state.listening
    assert "password" in state.reason


@pytest.mark.skipif(
    "transport_encryption" not in KernelManager.class_trait_names(),
    reason="this jupyter_client has no CURVE",
)
def test_a_kernel_that_encrypts_is_heard_over_a_restart(rig: Rig, tmp_path: Path) -> None:
    """With the public key in its file, which is the user's alone, and a key of the reader's own."""
    add_spec(tmp_path, "curve", "ipykernel_launcher", encryption="curve")
    with notebook(tmp_path, "curve", transport_encryption="required") as book:
        assert "curve_publickey" in Path(book.path).read_text()
        rig.follow(book, "ipykernel")
        book.run("secret = 1")
        rig.wait_for(is_cell("secret = 1"))
        book.manager.restart_kernel()
        book.await_answer()
        rig.hear_anything(book)
        book.run("again = 2")
        rig.wait_for(is_cell("again = 2"))
        assert has_libzmq(rig.pid) in (True, None)


def test_hands_are_shaken_with_one_kernel_that_encrypts_after_the_other(
    rig: Rig, tmp_path: Path
) -> None:
    """And the note names it: a crafted key ended libzmq's process. Who says nothing has a second."""
    public_key, secret_key = zmq.curve_keypair()
    context, silent = zmq.Context(), socket.create_server(("127.0.0.1", 0))
    publisher = context.socket(zmq.PUB)
    publisher.set(zmq.CURVE_SERVER, 1)
    publisher.set(zmq.CURVE_SECRETKEY, secret_key)
    says_nothing, speaks = silent.getsockname()[1], publisher.bind_to_random_port("tcp://127.0.0.1")
    try:
        for handle, port in enumerate((says_nothing, says_nothing, speaks), HANDLE):
            path = fake_file(tmp_path, iopub_port=port, curve_publickey=public_key.decode())
            rig.read(path, handle)
            rig.source.control(Listen(handle, "ipykernel"))
        child = rig.source._child
        assert child is not None
        noted = {child.working_on() for _ in range(20) if not time.sleep(0.02)}
        assert noted == {0, HANDLE} or noted == {HANDLE}
        rig.wait_for(lambda f: isinstance(f, ListenState) and f.handle == HANDLE + 2 and f.listening)
    finally:
        context.destroy(0)
        silent.close()


def has_libzmq(pid: int) -> bool | None:
    """None: only root may look."""
    return b"zmq" in Path(f"/proc/{pid}/maps").read_bytes() if os.geteuid() == 0 else None


def test_libzmq_is_loaded_for_no_other_kernel(rig: Rig, tmp_path: Path) -> None:
    with notebook(tmp_path) as book:
        rig.follow(book, "ipykernel")
        assert has_libzmq(rig.pid) in (False, None)


def test_an_ipc_kernel_is_heard_by_its_own_user_only(rig: Rig, tmp_path: Path) -> None:
    """As root the reader has no rights left, and says that it can't open the socket."""
    with notebook(tmp_path, transport="ipc") as book:
        state = rig.listen(book.path, "ipykernel")
        if os.geteuid() == 0:
            assert not state.listening
            assert "rights" in state.reason
            return
        book.run("ipc = 1")
        rig.wait_for(is_cell("ipc = 1"))


def test_a_socket_behind_a_link_is_not_opened(rig: Rig, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    context = zmq.Context()
    publisher = context.socket(zmq.PUB)
    (tmp_path / "elsewhere").mkdir()
    publisher.bind(f"ipc://{tmp_path}/elsewhere/x-9")
    (tmp_path / "k-9").symlink_to(tmp_path / "elsewhere" / "x-9")
    try:
        state = rig.listen(fake_file(tmp_path, transport="ipc", ip=f"{tmp_path}/k"), "ipykernel")
    finally:
        context.destroy(0)
    assert not state.listening


def test_a_bad_file_is_a_problem_and_a_better_one_is_read(rig: Rig, tmp_path: Path) -> None:
    """The half-written file of a starting kernel, then the whole one under the same number."""
    path = tmp_path / "kernel.json"
    path.write_text('{"shell_port": 5')
    read = rig.read(str(path))
    assert (read.connection, bool(read.problem)) == (None, True)
    assert rig.read(fake_file(tmp_path)).connection is not None


def test_a_file_with_new_ports_is_not_listened_to_until_that_is_asked(rig: Rig, tmp_path: Path) -> None:
    """Their owner is not proven any more: a user could have written another's port."""
    context = zmq.Context()
    first, publisher = context.socket(zmq.XPUB), context.socket(zmq.XPUB)
    first_port, port = (one.bind_to_random_port("tcp://127.0.0.1") for one in (first, publisher))
    try:
        assert rig.listen(fake_file(tmp_path, iopub_port=first_port), "ipykernel").listening
        assert rig.read(fake_file(tmp_path, iopub_port=port)).problem == ""
        assert not publisher.poll(500)
        rig.source.control(Listen(HANDLE, "ipykernel"))
        assert publisher.poll(5000)
    finally:
        context.destroy(0)


# ------------------------------------------------------------------ what it may


def test_the_reader_has_no_rights(rig: Rig) -> None:
    status = status_of(rig.pid)
    assert [status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == ["0" * 16] * 4
    assert status["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{rig.pid}/limits").read_text().splitlines()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits}
    assert soft["Max core file size"] == soft["Max file size"] == "0"
    assert soft["Max address space"] == str(1 << 30)
    assert int(Path(f"/proc/{rig.pid}/oom_score_adj").read_text()) >= 500


@pytest.mark.needs_root
def test_roots_reader_is_nobody(rig: Rig) -> None:
    """Every thread of it, with no group left, no bounding set, and /proc closed to its like."""
    for task in Path(f"/proc/{rig.pid}/task").iterdir():
        status = status_of(int(task.name))
        assert set(status["Uid"].split()) & {"0"} == set()
        assert set(status["Gid"].split()) & {"0"} == set()
        assert (status["Groups"], status["CapBnd"]) == ("", "0" * 16)
    assert Path(f"/proc/{rig.pid}/mem").stat().st_uid == 0


@pytest.mark.needs_root  # its /proc folder is closed to its own user
def test_the_reader_holds_no_descriptor_of_the_collector(rig: Rig, tmp_path: Path) -> None:
    """Its standard three, its socket, the note and its own; a connection file is closed once read."""
    marker = tmp_path / "open-in-the-collector"
    with marker.open("w"):
        path = fake_file(tmp_path)
        rig.read(path)
        fds = list(Path(f"/proc/{rig.pid}/fd").iterdir())
        targets = [os.readlink(fd) for fd in fds]
        note = f"/memfd:{NOTE} (deleted)"
        files = [f for f in fds if stat.S_ISREG(f.stat().st_mode) and os.readlink(f) != note]
    assert str(marker) not in targets
    assert path not in targets
    assert len(files) <= 1, "at most where its stderr goes"


# ------------------------------------------------------------------ its turns


def test_few_messages_are_understood_at_once_and_many_together() -> None:
    """Ten turns without a pause, ten a second for as long as 90 messages come each second."""
    pace, taken_s = Pace(0.0), list[float]()
    for tick in range(10 * 90):
        now_s = tick / 90
        if not pace.rest_s(now_s):
            pace.take()
            taken_s.append(now_s)
    assert taken_s[:10] == [tick / 90 for tick in range(10)]
    assert 100 <= len(taken_s) <= 111
    assert max(later - earlier for earlier, later in pairwise(taken_s)) < 0.12
    assert pace.rest_s(11.0) == 0, "after a second's rest at once again"


# ------------------------------------------------------------------ that it harms nobody


SHOUT = """import sys
for _ in range(5):
    sys.stdout.write("x" * 100_000)
    sys.stdout.flush()
get_ipython().history_manager.outputs.clear()  # where IPython 9 keeps what a cell prints
"y" * 100_000"""
SHOUTS = 100


@pytest.mark.parametrize(
    ("implementation", "module", "grows"),
    [
        ("ipykernel", "ipykernel_launcher", False),
        ("other", "ipykernel_launcher", False),
        ("xeus", "xpython_launcher", False),
        ("irkernel", "ipykernel_launcher", False),
        ("irkernel", "ipykernel_launcher", True),
    ],
    ids=["ipykernel", "unknown make", "xeus", "everything", "everything, and stopped ever again"],
)
def test_a_stopped_reader_does_not_make_a_kernel_grow(
    rig: Rig, tmp_path: Path, implementation: str, module: str, grows: bool
) -> None:
    """Streams and results are filtered at the publisher: 60 MB of them cost nothing."""
    add_spec(tmp_path, "loud", module)
    with notebook(tmp_path, "loud") as book:
        rig.follow(book, implementation)
        for _ in range(SHOUTS):
            book.run_unkept(SHOUT)
        before_kib = rss_kib(book.pid)
        with stopped(rig.pid, ever_again=grows):
            for _ in range(SHOUTS):
                book.run_unkept(SHOUT)
            extra_kib = rss_kib(book.pid) - before_kib
        assert (extra_kib > 5 * 1024) == grows, f"{extra_kib} KiB"


@contextmanager
def stopped(pid: int, *, ever_again: bool) -> Iterator[None]:
    """It may go on by itself, and be stopped again 100 times a second."""
    over = threading.Event()

    def stop() -> None:
        os.kill(pid, signal.SIGSTOP)
        while ever_again and not over.wait(0.01):
            os.kill(pid, signal.SIGSTOP)

    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        yield
    finally:
        over.set()
        stopping.join()
        os.kill(pid, signal.SIGCONT)


def test_a_stopped_reader_is_replaced_and_the_facts_flow_again(rig: Rig, tmp_path: Path) -> None:
    with notebook(tmp_path) as book:
        rig.follow(book, "ipykernel")
        pid, count = rig.pid, len(rig.told)
        os.kill(pid, signal.SIGSTOP)
        lost = rig.wait_for(is_a(SourceLost), since=count)
        assert isinstance(lost, SourceLost)
        assert "answer" in lost.reason
        rig.wait_for(lambda f: isinstance(f, SourceState) and not f.up, since=count)
        rig.wait_for(lambda f: isinstance(f, ListenState) and f.listening, since=count)
        assert rig.pid != pid
        rig.hear_anything(book)
        book.run("again = 1")
        rig.wait_for(is_cell("again = 1"))


def test_a_kernel_that_ends_one_reader_after_the_other_is_left_alone(rig: Rig, tmp_path: Path) -> None:
    """The note says whose message was being read; another's file is heard as before."""
    path = fake_file(tmp_path)
    rig.read(path)
    rig.source.control(Listen(HANDLE, "ipykernel"))
    for at in (READING_AT, SHAKING_AT):
        child = rig.source._child
        assert child is not None
        os.kill(rig.pid, signal.SIGSTOP)
        os.pwrite(child._note_fd, WORKING_ON.pack(HANDLE), at)
        since = len(rig.told)
        os.kill(rig.pid, signal.SIGKILL)
        rig.wait_for(lambda f: isinstance(f, SourceState) and f.up, since=since)
    told = [f.reason for f in rig.told if isinstance(f, ListenState) and not f.listening]
    assert "again and again" in told[-1]
    rig.source.control(Listen(HANDLE, "ipykernel"))
    assert rig.read(path, HANDLE + 1).problem == ""
    assert rig.source._files[HANDLE].implementation is None


def test_a_killed_reader_is_replaced_and_the_facts_flow_again(rig: Rig, tmp_path: Path) -> None:
    """The gap is told as blindness; the new reader reads the kept descriptors, gone files included."""
    with notebook(tmp_path) as book:
        rig.follow(book, "ipykernel")
        Path(book.path).unlink()
        count = len(rig.told)
        os.kill(rig.pid, signal.SIGKILL)
        rig.wait_for(is_a(SourceLost), since=count)
        deaf = rig.wait_for(is_a(ListenState), since=count)
        assert isinstance(deaf, ListenState)
        assert (deaf.listening, deaf.reason) == (False, "the reader ended")
        rig.wait_for(lambda f: isinstance(f, ListenState) and f.listening, since=count)
        rig.hear_anything(book)
        book.run("again = 1")
        rig.wait_for(is_cell("again = 1"))


def test_a_collector_that_takes_nothing_ends_the_listening_until_it_does(tmp_path: Path) -> None:
    """A stopped collector: the reader lets go of the kernels after a second, and says so later."""
    rig = Rig()
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    session = Session(key=b"the key")
    try:
        rig.listen(fake_file(tmp_path, iopub_port=port), "ipykernel")
        assert publisher.recv() == b"\x01kernel."
        code = "#" + "x" * 60_000
        gate = threading.Event()
        take, rig.source._take = rig.source._take, lambda child, outlet: gate.wait(0.01) and None  # type: ignore[method-assign]
        began = time.monotonic()
        while not publisher.poll(10):
            message = session.msg("execute_input", {"code": code, "execution_count": 1})
            publisher.send_multipart([b"kernel.x", *session.serialize(message)])
            assert time.monotonic() - began < 10
        assert publisher.recv() == b"\x00kernel.", "it unsubscribed"
        assert time.monotonic() - began < 4
        count = len(rig.told)
        rig.source._take = take  # type: ignore[method-assign]
        rig.wait_for(lambda f: isinstance(f, ListenState) and "no facts" in f.reason, since=count)
        rig.wait_for(lambda f: isinstance(f, ListenState) and f.listening, since=count)
    finally:
        rig.stop()
        context.destroy(0)


def test_the_reader_ends_with_its_collector(rig: Rig) -> None:
    """Stopped in an orderly way here; a killed collector's socket closes just so."""
    pid = rig.pid
    rig.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_a_file_that_is_let_go_of_before_it_is_sent_goes_as_it_was(tmp_path: Path) -> None:
    """Its number may be another file's by then, and the reader has no right to that."""
    old, other = tmp_path / "old", tmp_path / "other"
    old.write_text("old")
    other.write_text("other")
    with intercepted() as (child, received):
        fd = os.open(old, os.O_RDONLY)
        child.send(ReadOrder(handle=1), fd)
        os.close(fd)
        reused = os.open(other, os.O_RDONLY)
        assert reused == fd
        assert child.flush()
        assert received() == b"old"
        os.close(reused)


def test_a_file_that_is_read_and_let_go_of_in_one_breath_does_no_harm(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "kernel-1.json"
    path.write_text("{}")
    before = rig.pid
    for handle in range(100, 160):
        rig.source.control(ReadConnection(handle, os.open(path, os.O_RDONLY), os.geteuid()))
        rig.source.control(ReleaseFile(handle))
    assert rig.read(str(path)).problem
    assert rig.pid == before, "no new reader was needed"


def test_a_released_file_is_forgotten(rig: Rig, tmp_path: Path) -> None:
    with notebook(tmp_path) as book:
        rig.follow(book, "ipykernel")
        rig.source.control(ReleaseFile(HANDLE))
        rig.read(fake_file(tmp_path), handle=HANDLE + 1)
        count = len(rig.told)
        book.run("unheard = 1")
        rig.read(fake_file(tmp_path), handle=HANDLE + 2)
        assert not any(isinstance(fact, CellStarted | KernelStatus) for fact in rig.told[count:])
        kept = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_file()]
        assert [path for path in kept if path == book.path] == []
        assert len([path for path in kept if path.startswith(f"{tmp_path}/kernel-fake")]) == 2


# ------------------------------------------------------------------ the backlog


def heard(handle: int, number: int, size: int = 10) -> Heard:
    return Heard(handle, (str(number).encode(), b"x" * size), datetime.now(UTC))


def test_kernels_take_turns() -> None:
    """A kernel with many messages does not keep the others waiting."""
    backlog = Backlog()
    for number in range(50):
        backlog.put(heard(1, number))
    backlog.put(heard(2, 0))
    taken = [backlog.take(0.0) for _ in range(3)]
    assert {one.handle for one in taken if one} == {1, 2}


def test_a_loud_kernel_loses_its_own_oldest_words() -> None:
    """The last words before a death are what counts; the others' stay."""
    backlog = Backlog()
    backlog.put(heard(2, 0))
    for number in range(MAX_MESSAGES + 5):
        backlog.put(heard(1, number))
    assert backlog.take_dropped() == 5
    backlog.put(heard(1, 99_999, MAX_BYTES - 1000))
    taken = list(iter(lambda: backlog.take(0.0), None))
    assert [one.handle for one in taken if one.handle == 2] == [2]
    assert taken[-1].frames[0] == b"99999"


def test_messages_of_many_small_frames_are_bounded_by_what_they_take() -> None:
    """Python keeps a frame of 2 bytes in 48, and its place in the message in 8."""
    backlog, frames = Backlog(), tuple(b"%02d" % number for number in range(64))
    for number in range(12 * MAX_MESSAGES):
        backlog.put(Heard(number % 12, frames, datetime.now(UTC)))
    kept = list(iter(lambda: backlog.take(0.0), None))
    each_bytes = sys.getsizeof(frames) + 48 * len(frames)
    assert len(kept) * each_bytes < 1.1 * MAX_BYTES_OF_ALL


def test_who_says_too_much_waits_for_the_next_tokens() -> None:
    backlog = Backlog()
    backlog.put(heard(1, 0))
    backlog.put(heard(1, 1))
    assert backlog.take(0.0) is not None
    backlog.charge(1, 5000.0)
    assert backlog.take(1.0) is None
    assert backlog.waits()
    assert backlog.take(60.0) is not None
