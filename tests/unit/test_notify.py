"""Settled incidents reach those outside: each at least once, none that was asked for, no secret."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from importlib.util import find_spec
from pathlib import Path

import pytest
from incidents import HOSTILE, asked_for, full, incident
from receivers import (
    Answer,
    Webhook,
    answering,
    continuing,
    dripping,
    flooding,
    headers_without_end,
    program,
    silence,
    webhook,
)

from kerneld.config import Mode, load, parse
from kerneld.errors import AlreadyRunning, ConfigError
from kerneld.model.incident import Incident, LoopPart, UserPart
from kerneld.model.notices import NotifyRule, Waiting
from kerneld.model.vocabulary import Cause, State
from kerneld.notify import webhook as sending
from kerneld.notify.__main__ import check, main
from kerneld.notify.courier import Courier
from kerneld.notify.delivery import deliver
from kerneld.notify.outcome import Outcome
from kerneld.notify.program import run
from kerneld.notify.rules import LOOP_OVER, LOOP_PATIENCE, is_quiet, next_message, wants
from kerneld.outputs.notice import Notice, as_json, trial
from kerneld.store import Store
from kerneld.store.outbox import KEPT, Cursor, Outbox

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
KILLS = 8
SECRET = "xoxb-nobody-may-see"
PLAIN = NotifyRule(webhook="https://example.org/x")


def settled(number: int, at: datetime = NOW, **fields: object) -> Incident:
    given = {"died_at": at - timedelta(seconds=5), "settled_at": at} | fields
    return incident(number, **given)


def uuids(incidents: Sequence[Incident]) -> set[str]:
    return {one.uuid for one in incidents}


# ---------------------------------------------------------------- a desk


@dataclass
class Desk:
    """A courier that is given the time, a store to save into, and what was delivered."""

    store: Store
    courier: Courier
    delivered: list[Notice]
    problem: str = ""

    def save(self, *incidents: Incident) -> None:
        self.store.save_all([(one, None) for one in incidents])

    def turn(self, at: datetime, times: int = 1) -> None:
        for _ in range(times):
            self.courier.turn(at)
            for _, sent in self.courier._under_way.values():
                sent.exception(10)

    @property
    def told(self) -> list[list[str]]:
        return [[one.uuid for one in each.ends] for each in self.delivered]


@contextmanager
def desk(folder: Path, **rules: NotifyRule) -> Iterator[Desk]:
    place = folder / "kerneld"
    with Store.open(place / "kerneld.db") as store, Outbox(place / "outbox.db") as outbox:
        delivered: list[Notice] = []

        def deliver(rule: NotifyRule, told: Notice) -> Outcome:
            if not at.problem:
                delivered.append(told)
            return Outcome(at.problem)

        courier = Courier(
            store.path, outbox, rules or {"all": PLAIN}, lambda one: one, deliver, lambda: None
        )
        at = Desk(store, courier, delivered)
        at.turn(NOW - timedelta(hours=2))
        yield at
        courier.close()


def test_what_settled_before_the_first_start_is_not_told(tmp_path: Path) -> None:
    with Store.open(tmp_path / "kerneld" / "kerneld.db") as store:
        store.save_all([(settled(1), None)])
    with desk(tmp_path) as at:
        at.save(settled(2))
        at.turn(NOW, 3)
        assert at.told == [[settled(2).uuid]]


def test_only_settled_incidents_are_told_each_once(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        followed = settled(3, cause=Cause.PARENT_DIED, caused_by="its-servers")
        at.save(settled(1, state=State.PROVISIONAL, settled_at=None), asked_for(2), followed)
        at.turn(NOW, 3)
        assert at.told == []
        at.save(settled(1))
        at.turn(NOW, 3)
        at.save(settled(1, revision=2))
        at.turn(NOW, 3)
        assert at.told == [[settled(1).uuid]]
        assert at.delivered[0].key == f"{settled(1).uuid}/1"


def test_what_fails_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        at.save(settled(1))
        at.problem = "down"
        at.turn(NOW, 2)
        later = NOW + timedelta(seconds=4)
        at.turn(later, 2)
        (message,) = [at.courier.outbox.open_message("all")]
        assert message is not None
        assert (message.attempts, message.next_at) == (1, NOW + timedelta(seconds=5))
        at.turn(NOW + timedelta(seconds=5), 2)
        message = at.courier.outbox.open_message("all")
        assert message is not None
        assert (message.attempts, message.next_at) == (2, NOW + timedelta(seconds=15))
        at.problem = ""
        at.turn(NOW + timedelta(seconds=15), 2)
        assert at.told == [[settled(1).uuid]]
        assert at.delivered[0].key == message.key, "the same message"


def test_what_can_never_be_told_is_given_up_after_a_week(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        at.save(settled(1))
        at.problem = "down"
        at.turn(NOW, 2)
        at.save(settled(2))
        at.turn(NOW + KEPT + timedelta(minutes=1), 2)
        at.problem = ""
        at.turn(NOW + KEPT + timedelta(minutes=1), 2)
        assert at.told == []
        at.save(settled(3, NOW + KEPT))
        at.turn(NOW + KEPT + timedelta(minutes=2), 2)
        assert at.told == [[settled(3).uuid]]


def test_more_than_the_rate_is_one_message(tmp_path: Path) -> None:
    with desk(tmp_path, all=NotifyRule(webhook="https://e.org", per_hour=3)) as at:
        at.save(settled(1))
        at.turn(NOW, 2)
        storm = [settled(number, NOW) for number in range(10, 50)]
        at.save(*storm)
        at.turn(NOW, 6)
        assert at.told[0] == [settled(1).uuid]
        assert set(at.told[1]) == uuids(storm)
        assert at.delivered[1].title == "40 incidents on hub-3"
        at.save(settled(2), settled(3))
        at.turn(NOW, 6)
        assert len(at.told) == 3, "the third tells both, and none is left"
        at.save(settled(4))
        at.turn(NOW + timedelta(minutes=59), 6)
        assert len(at.told) == 3
        at.turn(NOW + timedelta(minutes=61), 6)
        assert at.told[3:] == [[settled(4).uuid]]


def test_a_loop_is_one_message_when_it_is_over(tmp_path: Path) -> None:
    first = settled(1)
    later = [
        settled(n, NOW + timedelta(seconds=60 * n), loop=LoopPart(id=first.uuid, count=n))
        for n in (2, 3, 4)
    ]
    with desk(tmp_path) as at:
        at.save(first)
        at.turn(NOW, 3)
        assert at.told == [[first.uuid]], "nobody knows yet that it is one"
        at.save(*later)
        at.turn(NOW + timedelta(seconds=250), 3)
        assert len(at.told) == 1
        at.turn(NOW + timedelta(seconds=240) + LOOP_OVER, 3)
        assert at.told[1:] == [[one.uuid for one in later]]
        assert at.delivered[1].title.endswith("(×4)")
        assert (
            "Death 4 of this kernel in quick succession; 3 of them since 12:02" in at.delivered[1].text
        )


def test_another_database_in_its_place_is_told_from_its_beginning(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        at.save(*(settled(number) for number in range(1, 6)))
        at.turn(NOW, 12)
        assert len(at.told) == 5
    for file in (tmp_path / "kerneld").glob("kerneld.db*"):
        file.unlink()
    with desk(tmp_path) as at:
        at.save(settled(5), settled(6), settled(7, NOW - KEPT - timedelta(hours=1)))
        at.turn(NOW, 6)
        assert at.told == [[settled(6).uuid]], "5 is known, 7 is old"


def test_a_damaged_outbox_is_set_aside_and_what_is_stored_told_again(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        at.save(settled(1))
    path = tmp_path / "kerneld" / "outbox.db"
    for file in path.parent.glob("outbox.db-*"):
        file.unlink()
    path.write_bytes(b"no database at all" * 999)
    with desk(tmp_path) as at:
        at.turn(NOW, 3)
        assert at.told == [[settled(1).uuid]]
    assert list(path.parent.glob("outbox.db.corrupt-*"))


def test_what_was_pruned_meanwhile_is_told_by_its_line(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        at.save(settled(1))
        at.problem = "down"
        at.turn(NOW, 2)
        at.store._db.execute("DELETE FROM ends")
        at.problem = ""
        at.turn(NOW + timedelta(hours=1), 2)
        assert at.told == [[settled(1).uuid]]
        assert at.delivered[0].title.startswith("churn/train.ipynb of alice ran out of memory (oom-")
        assert json.loads(as_json(at.delivered[0]))["incident"] is None


def test_an_outbox_has_one_owner_and_is_private(tmp_path: Path) -> None:
    with desk(tmp_path) as at:
        path = at.courier.outbox.path
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(AlreadyRunning):
            Outbox(path)


def test_what_a_rule_that_is_no_more_wanted_is_forgotten(tmp_path: Path, caplog: object) -> None:
    held = NotifyRule(webhook="https://e.org", quiet="00:00-23:59")
    with desk(tmp_path, gone=held, kept=held) as at:
        at.save(settled(1))
        at.turn(NOW)
    with desk(tmp_path, kept=held) as at:
        assert at.courier.outbox.tidy(["kept"], now=NOW) == 1
        assert len(at.courier.outbox.waiting("kept")) == 1
        assert at.courier.outbox.tidy(["kept"], now=NOW + KEPT + timedelta(days=2)) == 1


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({}, True),
        ({"causes": ["oom-cgroup", "abort"]}, True),
        ({"causes": ["abort"]}, False),
        ({"categories": ["memory"]}, True),
        ({"categories": ["native"]}, False),
        ({"users": ["alice"]}, True),
        ({"users": ["hub-alice"]}, True),
        ({"users": ["bob"]}, False),
        ({"categories": ["memory"], "users": ["bob"]}, False),
    ],
)
def test_a_rule_wants_what_it_names(rule: dict[str, object], wanted: bool) -> None:
    user = UserPart(uid=1, name="alice", hub_name="hub-alice")
    made = NotifyRule.model_validate({"webhook": "https://e.org"} | rule)
    assert wants(made, settled(1, user=user)) is wanted


@pytest.mark.parametrize(
    ("quiet", "clock", "expected"),
    [
        ("", "12:00", False),
        ("22:00-07:00", "21:59", False),
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "03:00", True),
        ("22:00-07:00", "07:00", False),
        ("12:00-13:00", "12:59", True),
        ("12:00-13:00", "13:00", False),
    ],
)
def test_quiet_hours(quiet: str, clock: str, expected: bool) -> None:
    rule = NotifyRule(webhook="https://e.org", quiet=quiet)
    assert is_quiet(rule, datetime.fromisoformat(f"2026-11-27T{clock}:00+01:00")) is expected


def a_death(number: int, seconds: float, loop: int | None = None) -> Waiting:
    first = f"u{number if loop is None else loop}"
    return Waiting(f"u{number}", 1, NOW + timedelta(seconds=seconds), first, "a line")


@pytest.mark.parametrize(
    ("waiting", "allowance", "after", "expected"),
    [
        ([a_death(1, 0), a_death(2, 1)], 5, 9, ["u1"]),
        ([a_death(1, 0), a_death(2, 1)], 1, 9, ["u1", "u2"]),
        ([a_death(1, 0)], 0, 9, []),
        ([a_death(2, 0, 1), a_death(3, 9, 1)], 5, 60, []),
        ([a_death(2, 0, 1), a_death(3, 9, 1)], 5, 9 + LOOP_OVER.total_seconds(), ["u2", "u3"]),
        ([a_death(2, 0, 1), a_death(3, 3590, 1)], 5, LOOP_PATIENCE.total_seconds(), ["u2", "u3"]),
        ([a_death(2, 0, 1), a_death(9, 5)], 1, 60, ["u9"]),
        ([], 5, 0, []),
    ],
)
def test_what_is_told_together(
    waiting: list[Waiting], allowance: int, after: float, expected: list[str]
) -> None:
    chosen = next_message(waiting, allowance=allowance, now=NOW + timedelta(seconds=after))
    assert [one.uuid for one in chosen] == expected


# ---------------------------------------------------------------- delivering


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (answering(200), ""),
        (flooding, ""),
        (answering(500), "127.0.0.1 answered 500"),
        (answering(404), "127.0.0.1 answered 404"),
        (headers_without_end, "127.0.0.1: HTTPException"),
        (continuing, "127.0.0.1: "),
        (dripping, "127.0.0.1: "),
    ],
    ids=["200", "a flood", "500", "404", "a flood of headers", "endless 100s", "a drip"],
)
def test_a_webhook_of_whatever_manners_ends_in_time(answer: Answer, problem: str) -> None:
    began = time.monotonic()
    with webhook(answer) as server:
        told = sending.post(f"{server.url}/{SECRET}", b"{}", {}, deadline_s=0.7)
    assert told.problem.startswith(problem)
    assert bool(told.problem) is bool(problem)
    assert SECRET not in told.problem
    assert time.monotonic() - began < 5


def test_a_webhook_that_never_answers_or_is_not_there_ends_in_time() -> None:
    with silence() as url:
        began = time.monotonic()
        assert sending.post(url, b"{}", {}, deadline_s=0.3).problem
        assert time.monotonic() - began < 3
    assert sending.post(url, b"{}", {}).problem == "127.0.0.1: Connection refused"


def test_a_redirect_is_not_followed() -> None:
    with webhook() as inner, webhook(answering(307, Location=f"{inner.url}/admin")) as outer:
        told = sending.post(outer.url, b"{}", {})
        assert told.problem == "127.0.0.1 answered 307: redirects are not followed"
        assert (len(outer.got), inner.got) == (1, [])


def test_a_webhook_may_say_when_to_come_back() -> None:
    with webhook(answering(429, Retry_After="7")) as server:
        assert sending.post(server.url, b"{}", {}).wait_s == 7
        server.answer = answering(503, Retry_After="999999999999")
        assert sending.post(server.url, b"{}", {}).wait_s == 3600
        server.answer = answering(503, Retry_After="tomorrow")
        assert sending.post(server.url, b"{}", {}).wait_s is None


def told_of(one: Incident, tmp_path: Path) -> Notice:
    with desk(tmp_path) as at:
        at.save(one)
        at.turn(NOW, 3)
        return at.delivered[0]


def test_a_generic_webhook_gets_the_whole_incident(tmp_path: Path) -> None:
    one = full(7, settled_at=NOW, loop=None)
    told = told_of(one, tmp_path)
    with webhook() as server:
        rule = NotifyRule(webhook=f"{server.url}/a?b=c")
        assert deliver(rule, told) == Outcome()
    (post,) = server.got
    assert post.path == "/a?b=c"
    assert post.headers["Idempotency-Key"] == f"{one.uuid}/1"
    assert Incident.model_validate(post.document["incident"]).uuid == one.uuid
    assert (post.uuids, post.document["count"]) == ([one.uuid], 1)


def test_no_text_of_a_user_is_more_than_text_in_slack(tmp_path: Path) -> None:
    evil = "<!channel> <http://evil|click> & *bold* @here"
    told = told_of(full(7, text=evil, settled_at=NOW, loop=None), tmp_path)
    with webhook() as server:
        deliver(NotifyRule(webhook=server.url, format="slack"), told)
    sent = server.got[0].document
    assert "&lt;!channel&gt;" in sent["text"]
    assert "<" not in sent["text"]
    assert (sent["mrkdwn"], sent["parse"], sent["link_names"]) == (False, "none", False)
    assert not sent["unfurl_links"]


def test_ntfy_gets_text_and_a_title_that_is_one_header(tmp_path: Path) -> None:
    told = told_of(full(7, text=HOSTILE, settled_at=NOW, loop=None), tmp_path)
    with webhook() as server:
        assert deliver(NotifyRule(webhook=f"{server.url}/topic", format="ntfy"), told) == Outcome()
    (post,) = server.got
    assert str(make_header(decode_header(post.headers["Title"]))) == told.title
    assert post.body.decode() == told.text
    assert "\x1b" not in told.title + told.text
    assert "fake row" in told.text, "the break before it is shown escaped"
    assert len(told.text.splitlines()) <= 3


def test_a_program_gets_json_and_variables_without_a_shell(tmp_path: Path) -> None:
    told = told_of(full(7, text=HOSTILE, settled_at=NOW, loop=None), tmp_path)
    path = program(tmp_path, f'env > {tmp_path}/env; cat > {tmp_path}/json; echo "$1" > {tmp_path}/arg')
    os.environ["KERNELD_TEST_SECRET"] = SECRET
    try:
        assert deliver(NotifyRule(command=(str(path), "$(id)")), told) == Outcome()
    finally:
        del os.environ["KERNELD_TEST_SECRET"]
    assert json.loads((tmp_path / "json").read_text())["incident"]["uuid"] == told.ends[0].uuid
    assert (tmp_path / "arg").read_text() == "$(id)\n"
    environ = (tmp_path / "env").read_text()
    assert "KERNELD_CAUSE=oom-cgroup\n" in environ
    assert f"KERNELD_KEY={told.ends[0].uuid}/1\n" in environ
    assert "\x1b" not in environ
    assert SECRET not in environ


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "told ended with status 3"),
        ("sleep 60 & sleep 60", "told was not done within 0.3 s, and was ended"),
        ("exec 0<&-; exit 0", ""),
    ],
    ids=["fails", "hangs", "does not read"],
)
def test_a_program_that_fails_or_hangs(tmp_path: Path, script: str, problem: str) -> None:
    path = program(tmp_path, script)
    began = time.monotonic()
    assert run([str(path)], "x" * 1_000_000, {}, deadline_s=0.3).problem == problem
    assert time.monotonic() - began < 3
    assert run([str(tmp_path / "none")], "", {}).problem == "none: No such file or directory"


@pytest.mark.parametrize("tool", ["notify-send", "busctl"])
def test_a_desktop_shows_it(tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where = shutil.which(tool)
    if not (where and shutil.which("dbus-daemon") and find_spec("jeepney")):
        absent = "`apt-get install dbus libnotify-bin systemd`, and `pip install jeepney`"
        (pytest.fail if os.environ.get("KERNELD_TESTS") == "all" else pytest.skip)(absent)
    from desktop import Desktop

    (tmp_path / tool).symlink_to(where)
    told = told_of(full(7, text="<b>-- evil", settled_at=NOW, loop=None), tmp_path)
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert bus.stdout is not None
        address, ready, desktop = bus.stdout.readline().strip(), threading.Event(), Desktop()
        threading.Thread(target=desktop.serve, args=(address, ready), daemon=True).start()
        assert ready.wait(10)
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert deliver(NotifyRule(desktop=True), told) == Outcome()
    finally:
        bus.kill()
        bus.wait()
    ((title, text),) = desktop.shown
    assert title == told.title
    assert "&lt;b&gt;-- evil" in text
    assert "<" not in text


# ---------------------------------------------------------------- the process


def configured(folder: Path, server: Webhook, more: str = "") -> Path:
    file = folder / "config.toml"
    file.write_text(f'[notify.ops]\nwebhook = "{server.url}/{SECRET}"\nper_hour = 3600\n{more}')
    file.chmod(0o600)
    return file


@contextmanager
def serving(folder: Path, config: Path) -> Iterator["subprocess.Popen[str]"]:
    """It serves, and has looked at the store; whatever comes of the test, it does not stay."""
    database = folder / "kerneld" / "kerneld.db"
    argv = [sys.executable, "-m", "kerneld.notify", "--db", str(database), "--config", str(config)]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("kerneld tells: ops")
        until(lambda: began(folder))
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def forked(folder: Path, config: Path) -> Iterator[None]:
    """The process without a new interpreter, which costs half a second; at the end a kill -9."""
    child = os.fork()
    if not child:
        try:
            main(["--db", str(folder / "kerneld" / "kerneld.db"), "--config", str(config)])
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def began(folder: Path) -> bool:
    """Whether it has looked at the store: it says that it serves before."""
    with closing(sqlite3.connect(folder / "kerneld" / "kerneld.db.outbox")) as outbox:
        return bool(outbox.execute("SELECT * FROM cursor").fetchall())


def until(done: Callable[[], object], deadline_s: float = 20) -> None:
    end = time.monotonic() + deadline_s
    while not done():
        assert time.monotonic() < end, "too late"
        time.sleep(0.02)


def test_killed_at_any_moment_it_loses_no_incident(tmp_path: Path) -> None:
    """While incidents arrive it is killed with -9 again and again; each reaches the server."""
    dice = random.Random(2)
    saved: list[Incident] = []
    with Store.open(tmp_path / "kerneld" / "kerneld.db") as store, webhook() as server:
        config = configured(tmp_path, server)
        with Outbox(tmp_path / "kerneld" / "kerneld.db.outbox") as outbox:
            outbox.take((), Cursor(0, store.born()), now=NOW)
        for _ in range(KILLS):
            with forked(tmp_path, config):
                for _ in range(dice.randint(1, 6)):
                    saved.append(settled(100 + len(saved), datetime.now(UTC)))
                    store.save_all([(saved[-1], None)])
                    time.sleep(dice.uniform(0, 0.3))
        with forked(tmp_path, config):
            until(lambda: uuids(saved) <= {uuid for post in server.got for uuid in post.uuids}, 60)
    by_key: dict[str, set[bytes]] = {}
    for post in server.got:
        by_key.setdefault(post.headers["Idempotency-Key"], set()).add(post.body)
    assert {len(bodies) for bodies in by_key.values()} == {1}, "told again, it is the same"


def test_a_rule_whose_webhook_hangs_holds_up_no_other_nor_the_end(tmp_path: Path) -> None:
    with (
        Store.open(tmp_path / "kerneld" / "kerneld.db") as store,
        silence() as hung,
        webhook() as server,
    ):
        config = configured(tmp_path, server, f'[notify.hung]\nwebhook = "{hung}"\n')
        with serving(tmp_path, config) as process:
            store.save_all([(settled(1, datetime.now(UTC)), None)])
            until(lambda: server.got)
            store.save_all([(settled(2, datetime.now(UTC)), None)])
            until(lambda: len(server.got) == 2)
            stopped_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)
            assert time.monotonic() - stopped_at < 3
            assert process.returncode == 0


def test_others_code_and_processes_are_not_told(tmp_path: Path) -> None:
    alice = UserPart(uid=os.geteuid() + 1, name="alice")
    path = tmp_path / "kerneld" / "kerneld.db"
    with (
        Store.open(path) as store,
        webhook() as server,
        serving(tmp_path, configured(tmp_path, server)),
    ):
        store.save_all([(full(7, loop=None, user=alice, settled_at=datetime.now(UTC)), None)])
        until(lambda: server.got)
    sent = server.got[0].body.decode()
    assert "large_list" not in sent
    assert "chrome" not in sent


def kerneld(*words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "kerneld", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_a_test_is_sent_by_every_rule_and_its_outcome_told(tmp_path: Path) -> None:
    with webhook() as server, webhook(answering(500)) as broken:
        config = configured(tmp_path, server, f'[notify.bad]\nwebhook = "{broken.url}/{SECRET}"\n')
        done = kerneld("notify", "test", "--config", str(config))
    assert (done.returncode, done.stdout) == (1, "ops: delivered\n")
    assert done.stderr == "kerneld: bad: 127.0.0.1 answered 500\n"
    assert server.got[0].document["title"] == trial("ops", "h", "k").title
    assert server.got[0].document["count"] == 0


def test_without_a_rule_there_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text("")
    tested = kerneld("notify", "test", "--config", str(tmp_path / "none.toml"))
    assert (tested.returncode, "has no [notify.NAME]" in tested.stderr) == (1, True)
    served = kerneld("notify", "run", "--config", str(tmp_path / "none.toml"))
    assert (served.returncode, "has no [notify.NAME]" in served.stderr) == (0, True)


def test_a_desktop_is_for_a_users_own_kerneld(tmp_path: Path) -> None:
    rules = parse(b"[notify.screen]\ndesktop = true", tmp_path).notify
    check(rules, Mode.USER, tmp_path / "config.toml")
    with pytest.raises(ConfigError, match=r"notify\.screen\.desktop: the service has no desktop"):
        check(rules, Mode.SYSTEM, tmp_path / "config.toml")


# ---------------------------------------------------------------- configuration


def test_no_secret_of_a_rule_is_ever_shown(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        f'[notify.hook]\nwebhook = "https://hooks.example.org/services/{SECRET}"\nusers = ["al"]\n'
        f'[notify.program]\ncommand = ["/usr/bin/curl", "{SECRET}"]\n'
    )
    for words in (["show"], ["show", "--json"]):
        done = kerneld("config", *words, "--config", str(file))
        assert done.returncode == 0
        assert SECRET not in done.stdout
        assert "notify.hook.users" in done.stdout
    assert "https://hooks.example.org/…" in done.stdout
    assert SECRET not in repr(load(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[notify]\nwebhook = 'https://e.org/S'",
            "notify.webhook: must be a section: [notify.webhook]",
        ),
        ("[notify.a]", "notify.a: exactly one of command, webhook, desktop"),
        ("[notify.a]\nwebhook = 'htp://S'", "notify.a.webhook: allowed is an http:// or https://"),
        ("[notify.a]\nwebhook = 'https://u:S@e.org/'", "notify.a.webhook: allowed is an http://"),
        ("[notify.a]\nwebhook = 'https://e.org/S b'", "notify.a.webhook: allowed is an http://"),
        ("[notify.a]\nwebhook = 'file:///S'", "notify.a.webhook: allowed is an http://"),
        ("[notify.a]\nwebhook = 'http://e.org:65536/S'", "notify.a.webhook: allowed is an http://"),
        (
            "[notify.a]\ncommand = ['S']",
            "notify.a.command: allowed is a list of words, the first an abs",
        ),
        ("[notify.a]\ncommand = '/S'", "notify.a.command: allowed is a list of words"),
        (
            "[notify.a]\nwebhok = 'S'\ndesktop = true",
            "notify.a.webhok: no such key; did you mean webhook?",
        ),
        (
            "[notify.a]\ndesktop = true\ncauses = ['oom']",
            "notify.a.causes: allowed is a list of causes",
        ),
        ("[notify.a]\ndesktop = true\ncauses = ['restart']", "notify.a.causes: allowed is a list of"),
        ("[notify.a]\ndesktop = true\ncategories = ['requested']", "notify.a.categories: allowed is"),
        ("[notify.a]\ndesktop = true\nquiet = '25:00-07:00'", "notify.a.quiet: allowed is hours such"),
        ("[notify.a]\ndesktop = true\nper_hour = 0", "notify.a.per_hour: allowed is a whole number"),
        ("[notify.a]\ndesktop = true\nformat = 'S'", 'notify.a.format: allowed is one of "json"'),
        ("[notify.'a b']\ndesktop = true", "notify: a rule's name is of letters"),
        ("notify = 3", "notify: must be a section: [notify.NAME]"),
    ],
)
def test_an_error_in_a_rule_names_the_key_and_shows_no_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), Path("/etc/kerneld/config.toml"))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"/etc/kerneld/config.toml: {said}"), lines
    assert "S" not in "".join(lines).replace("http", "").replace("Slack", "")


def test_the_example_documents_every_key_of_a_rule_with_its_default() -> None:
    example = Path(__file__).parents[2] / "config.example.toml"
    _, found, block = example.read_text().partition("# [notify.NAME]\n")
    assert found
    lines = [line.removeprefix("# ") for line in block.splitlines()]
    keys = [line for line in lines if not line.startswith("#") and line.strip()]
    shown = {line.partition(" = ")[0] for line in keys}
    assert shown == set(NotifyRule.model_fields)
    kept = [line for line in keys if not line.startswith(("command", "webhook"))]
    rule = parse("\n".join(["[notify.x]", 'webhook = "https://e.org"', *kept]).encode(), example)
    assert rule.notify["x"] == NotifyRule(webhook="https://e.org")
    for line in keys:
        if line.startswith(("command", "webhook")):
            assert parse(f"[notify.x]\n{line}".encode(), example).notify
