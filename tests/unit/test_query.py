"""The service answers each user about the own rows, by Linux's word on who asks, and nobody else."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from incidents import DIED, full, incident, segfault

from kerneld.cli.told import Told
from kerneld.errors import NothingFound, StoreError, UsageError
from kerneld.live import LiveWriter, row_of
from kerneld.model.incident import Bystander, Incident, UserPart
from kerneld.model.living import DaemonState, LivingState
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Cause, Mode
from kerneld.query.client import Service
from kerneld.query.server import MOST_OF_A_USER, Server
from kerneld.store import Query, Store

ANA, BEN, NOBODYS = 20421, 20422, 20423
OWN = os.getuid()


def owned(number: int, uid: int, **fields: object) -> Incident:
    return incident(number, user=UserPart(uid=uid, name=f"user{uid}"), **fields)


def state_of(uid: int, pid: int) -> LivingState:
    now = datetime.now(UTC)
    key = ProcessKey(boot_id="b", pid=pid, start_ticks=pid)
    return LivingState(key=key, at=now, kernel_id=f"k{pid}", state="idle", uid=uid, started_at=now)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two ends of Ana's, one of Ben's, one of whoever runs the tests."""
    path = tmp_path / "kerneld.db"
    ends = [
        owned(1, ANA),
        owned(2, BEN, died_at=DIED + timedelta(minutes=1)),
        owned(3, ANA, cause=Cause.SEGFAULT, died_at=DIED + timedelta(minutes=2)),
        owned(4, OWN, died_at=DIED - timedelta(minutes=2)),
    ]
    with Store.open(path) as store:
        store.save_all([(end, None) for end in ends])
    return path


@contextmanager
def served(database: Path) -> Iterator[Path]:
    """A server in a thread; who asks is this process's user."""
    where = database.with_name("query.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(where))
        listener.listen()
        server, over = Server(listener, database, live_of(database)), threading.Event()

        def serve() -> None:
            while not over.is_set():
                server.serve(0.1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield where
        finally:
            over.set()
            thread.join(20)
    assert not thread.is_alive(), "it goes when nobody asks"


def live_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.live")


# ---------------------------------------------------------------- who may see what

ASK = """
import json, sys
from pathlib import Path
from kerneld.errors import KerneldError
from kerneld.query.client import Service
from kerneld.store import Query
service = Service(Path(sys.argv[1]))
answers = {
    "each": [i.id for i in service.each(Query(all=True))],
    "newest": [i.id for i in service.find(Query(limit=1))],
    "of ben": [i.id for i in service.find(Query(limit=9, user="20422"))],
    "settled": [i.id for i in service.changed_since(0)[0]],
    "living": [s.key.pid for s in service.living().states],
}
for ref in sys.argv[2:]:
    try:
        answers[ref] = service.get(ref).id
    except KerneldError as problem:
        answers[ref] = type(problem).__name__
print(json.dumps(answers))
"""


@pytest.mark.needs_root
def test_each_user_gets_the_own_rows_and_every_other_is_not_there(
    database: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A matrix of users, questions and owners, on the process that the socket unit starts."""
    where = Path(f"/run/kerneld-test-{os.getpid()}.sock")
    uuids = [owned(number, 0).uuid for number in (1, 2, 3, 4)]
    living = live_of(database)
    with socket.socket(socket.AF_UNIX) as listener, LiveWriter(living) as live:
        live.write(
            [row_of(state_of(ANA, 11)), row_of(state_of(BEN, 22))], a_daemon(), at=datetime.now(UTC)
        )
        listener.bind(str(where))
        where.chmod(0o666)
        listener.listen()
        server = start(listener, database)
        try:
            told = {
                uid: asked_as(uid, where, "latest", "1", "2", *uuids) for uid in (ANA, BEN, NOBODYS)
            }
        finally:
            where.unlink()
            server.terminate()
            server.wait(10)
    own = {ANA: [1, 3], BEN: [2], NOBODYS: []}
    for uid, ids in own.items():
        assert told[uid] == {
            "each": ids,
            "newest": ids[-1:],
            "of ben": [2] if uid == BEN else [],
            "settled": ids,
            "living": {ANA: [11], BEN: [22], NOBODYS: []}[uid],
            "latest": ids[-1] if ids else "NothingFound",
            "1": 1 if uid == ANA else "NothingFound",
            "2": 2 if uid == BEN else "NothingFound",
            **{ref: n if n in ids else "NothingFound" for n, ref in enumerate(uuids, 1)},
        }


def start(listener: socket.socket, database: Path) -> "subprocess.Popen[bytes]":
    """`python -m kerneld.query` as systemd starts it: the socket is descriptor 3."""
    command = f"exec {sys.executable} -m kerneld.query --db {database} 3<&{listener.fileno()}"
    environ = os.environ | {"LISTEN_FDS": "1"}
    return subprocess.Popen(["bash", "-c", command], pass_fds=[listener.fileno()], env=environ)


def asked_as(uid: int, where: Path, *refs: str) -> dict[str, object]:
    argv = [sys.executable, "-c", ASK, str(where), *refs]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, user=uid, cwd="/")
    assert done.returncode == 0, done.stderr
    answers: dict[str, object] = json.loads(done.stdout)
    return answers


def a_daemon() -> DaemonState:
    now = datetime.now(UTC)
    return DaemonState(pid=1, started_at=now, version="0", mode=Mode.SYSTEM, database="/x")


def test_of_other_users_processes_the_answer_has_role_and_size_alone(database: Path) -> None:
    end = owned(9, OWN, bystanders=full().bystanders)
    with Store.attach(database) as store:
        store.save_all([(end, None)])
    with served(database) as where:
        service = Service(where)
        told = [service.get(end.uuid), *service.each(Query(pid=48213)), *service.changed_since(0)[0]]
    found = [each for each in told if each.uuid == end.uuid]
    assert len(found) == 3
    expected = [Bystander(rss_bytes=part.rss_bytes, role=part.role) for part in end.bystanders]
    assert [list(each.bystanders) for each in found] == [expected] * 3


def test_without_a_socket_handed_over_it_says_who_starts_it() -> None:
    argv = [sys.executable, "-m", "kerneld.query"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "kerneld-query.socket starts this" in done.stderr


# ---------------------------------------------------------------- hostile and unlucky askers

REFUSED = [
    (b"GET / HTTP/1.1\r\n\r\n\n", "did not understand"),
    (b'{"ask": "passwords"}\n', "did not understand"),
    (b'{"ask": "incidents", "notebook": "%s"}\n' % (b"*a" * 200), "at most 256"),
    (b'{"ask": "incidents", "limit": -1}\n', "negative"),
    (b'{"ask": "incidents", "pid": 99999999999999999999}\n', "negative, or far too large"),
    (b"x" * 10_000 + b"\n", "one line of JSON"),
    (b"", "one line of JSON"),
]


@pytest.mark.parametrize(("question", "word"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_it_does_not_understand_is_refused_in_a_line(
    database: Path, question: bytes, word: str
) -> None:
    with served(database) as where, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(where))
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b'!{"status":2,')
    assert answer.count(b"\n") == 1
    assert word in answer.decode()


def test_one_who_only_connects_does_not_keep_the_places(database: Path) -> None:
    with served(database) as where:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(MOST_OF_A_USER)]
        for each in silent:
            each.connect(str(where))
        refused = until(where, lambda told: told is None, "their places are taken")
        assert refused is None
        for each in silent:
            each.close()
        told = until(where, lambda told: told is not None, "their places are given back")
        assert told is not None
        assert told.id == 4


def test_a_question_that_comes_in_drops_has_its_time_in_all(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not anew for each: a place would be taken for hours."""
    monkeypatch.setattr("kerneld.query.server.REQUEST_S", 0.3)
    with served(database) as where, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(where))
        end = time.monotonic() + 10
        with pytest.raises(BrokenPipeError):
            drip(connection, end)
        assert time.monotonic() < end


def drip(connection: socket.socket, end: float) -> None:
    while time.monotonic() < end:
        connection.sendall(b" ")
        time.sleep(0.05)


def until(
    where: Path, is_so: Callable[[Incident | None], bool], what: str, deadline_s: float = 10
) -> Incident | None:
    """The answer, as soon as it is so; None: asked to come again."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        told: Incident | None = None
        try:
            told = Service(where).get("latest")
        except StoreError as problem:
            if "ask again" not in str(problem):
                raise
        if is_so(told):
            return told
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {deadline_s} s")


def test_an_answer_that_was_cut_short_is_not_taken_for_all(tmp_path: Path) -> None:
    where = tmp_path / "query.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(where))
        listener.listen()

        def break_off() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"=" + segfault().model_dump_json().encode() + b"\n")
            connection.close()

        thread = threading.Thread(target=break_off)
        thread.start()
        with pytest.raises(StoreError, match="ended in the middle"):
            list(Service(where).each(Query()))
        thread.join()


def test_a_socket_behind_which_nobody_is_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"systemctl status kerneld-query\.socket"):
        Service(tmp_path / "query.sock").get("latest")


# ---------------------------------------------------------------- merged with an own database


def test_two_places_are_told_as_one_and_no_end_twice(database: Path, tmp_path: Path) -> None:
    mine = tmp_path / "own.db"
    with Store.open(mine) as store:
        both = owned(4, OWN, died_at=DIED - timedelta(minutes=2))
        asked = [owned(number, OWN, cause=Cause.RESTART) for number in (90, 91)]
        store.save_all([(end, None) for end in (owned(7, OWN), both, *asked)])
    with served(database) as where, Store.read(mine) as own:
        told = Told([own, Service(where)])
        follow = told.following()
        uuids = [owned(number, OWN).uuid for number in (4, 7)]
        assert [i.uuid for i in told.each(Query())] == uuids
        assert [i.uuid for i in told.find(Query(limit=1))] == uuids[1:]
        assert [i.uuid for i in told.find(Query(reverse=True))] == uuids[::-1]
        assert told.get("latest").uuid == uuids[1]
        assert told.get(uuids[0]).uuid == uuids[0]
        with pytest.raises(UsageError, match="ambiguous"):
            told.get("4")
        with pytest.raises(NothingFound):
            told.get("77")
        assert follow() == []
        with Store.attach(database) as service:
            service.save_all([(owned(8, OWN, died_at=DIED), None), (owned(9, ANA), None)])
        assert [i.uuid for i in follow()] == [owned(8, OWN).uuid]
        assert follow() == []
