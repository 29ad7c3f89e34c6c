"""The command line as people and scripts use it: real processes on a real database."""

import csv
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cases import death, oom
from incidents import DIED, HOSTILE, NOW, asked_for, full, hard_exit, incident, segfault

from kerneld.cli.main import VERBS
from kerneld.cli.when import parse_when
from kerneld.errors import UsageError
from kerneld.live import LiveWriter, row_of
from kerneld.model.base import iso
from kerneld.model.incident import Incident, UserPart
from kerneld.model.living import DaemonState, LivingState
from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Cause, Confidence, Mode, State
from kerneld.store import Store

RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
CASE = death(signal=9, log=(oom(),))


def kerneld(*words: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "kerneld", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "TZ": "UTC", "COLUMNS": "80", **environ},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """k.db: four ends, and a case that newer rules judge otherwise; h.db: every name hostile."""
    place = tmp_path_factory.mktemp("kerneld")
    believed = incident(cause=Cause.KILLED, confidence=Confidence.POSSIBLE).model_copy(
        update={"uuid": CASE.uuid, "died_at": DIED + timedelta(seconds=1)}
    )
    honest = [hard_exit(), segfault(), full(), asked_for()]
    held = {
        "k.db": [*((end, None) for end in honest), (believed, CASE)],
        "h.db": [(full(text=HOSTILE), None)],
        "empty.db": [],
    }  # fmt: skip
    for name, ends in held.items():
        with Store.open(place / name) as store:
            store.save_all(ends)
    (place / "broken.db").write_bytes(b"no database " * 1000)
    (place / "wrong.toml").write_text("[privacy]\ncode = 'none'\n")
    (place / "digits.toml").write_text(f"[retention]\nmax_age_days = {'1' * 5000}\n")
    (place / "hexadecimal.toml").write_text(f"[retention]\nmax_age_days = 0x{'f' * 5000}\n")
    (place / "folder.db").mkdir()
    for name in ("pipe.db", "pipe.toml"):
        os.mkfifo(place / name)
    (place / "right.toml").write_text("[privacy]\nadmin_sees_code = true\n")
    return place


TABLE: list[tuple[str, int]] = [
    ("--version", 0),
    ("--help", 0),
    ("nope", 2),
    ("incidents --db k.db", 0),
    ("incidents --db k.db --nope", 2),
    ("incidents --db k.db --since soon", 2),
    ("incidents --db k.db --until 99999999d", 2),
    ("incidents --db k.db --cause oom", 2),
    ("incidents --db k.db --category oom", 2),
    ("incidents --db k.db --category memory --user alice --notebook *.ipynb", 0),
    ("incidents --db k.db --pid 1", 1),
    ("incidents --db k.db --pid x", 2),
    ("incidents --db k.db -n 0", 2),
    ("incidents --db k.db --json --csv", 2),
    ("incidents --db k.db --follow --json", 2),
    ("incidents --db k.db --follow --reverse", 2),
    ("incidents --db empty.db", 1),
    ("incidents --db none.db", 74),
    ("incidents --db broken.db", 74),
    ("incidents --db . ", 74),
    ("incidents --db folder.db", 74),
    ("incidents --db pipe.db", 74),
    ("incidents --db long.db", 74),
    ("incidents --db k.db --pid 9223372036854775808", 2),
    ("incidents --db k.db --user 9223372036854775808", 2),
    ("incidents --db k.db --user digits", 2),
    ("incidents --db k.db -n 9223372036854775808", 2),
    ("incidents --db k.db --config pipe.toml", 78),
    ("kernels --db nothing", 74),
    ("kernels --db long.db", 74),
    ("doctor --db pipe.db", 0),
    ("doctor --db nothing", 74),
    ("incidents --db k.db --config wrong.toml", 78),
    ("incidents --db k.db --config none.toml", 78),
    ("show --db k.db", 0),
    ("show latest --db k.db", 0),
    ("show 1 --db k.db", 0),
    ("show 99 --db k.db", 1),
    ("show what? --db k.db", 2),
    ("show latest --db empty.db", 1),
    ("kernels --db k.db", 1),
    ("kernels --db k.db --watch --json", 2),
    ("metrics --db k.db", 0),
    ("metrics --db none.db", 74),
    ("metrics --db k.db --config wrong.toml", 78),
    ("metrics rules", 0),
    ("metrics board", 2),
    ("notify", 2),
    ("notify test --config none.toml", 78),
    ("notify test --config wrong.toml", 78),
    ("notify run --config wrong.toml", 78),
    ("causes", 0),
    ("causes oom-cgroup", 0),
    ("causes oom", 2),
    ("config --config right.toml", 0),
    ("config check right.toml", 0),
    ("config check wrong.toml", 78),
    ("config check digits.toml", 78),
    ("config check hexadecimal.toml", 78),
    ("config check pipe.toml", 78),
    ("config check long.toml", 78),
    ("config check none.toml", 78),
    ("config show right.toml", 2),
    ("config path", 0),
    ("prune --db k.db --dry-run", 0),
    ("prune --db none.db", 74),
    ("rejudge --db k.db --dry-run", 0),
    ("export --db k.db", 0),
    ("export 1 --db k.db --case", 1),
    ("export 99 --db k.db", 1),
    ("export --db k.db --case --csv", 2),
    ("export 1 --since 2d --db k.db", 2),
    ("run --config none.toml", 78),
    ("run --config wrong.toml", 78),
    ("run --db nothing --force", 74),
    ("run --db long.db --force", 74),
    ("run --db folder.db --force", 74),
    ("run --db pipe.db --force", 74),
]


# what no file of a test may be named, and what is no single word
_STRANGE = {"nothing": "", "long.db": "x" * 300, "long.toml": "x" * 300, "digits": "1" * 5000}


@pytest.mark.parametrize(("line", "status"), TABLE, ids=[line for line, _ in TABLE])
def test_the_exit_status_says_what_happened(folder: Path, line: str, status: int) -> None:
    """What went wrong is told by name or by click's usage, never by a traceback."""
    words = [str(folder / word) if word.endswith((".db", ".toml")) else word for word in line.split()]
    done = kerneld(*(_STRANGE.get(word.rpartition("/")[2], word) for word in words))
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) is (status != 0)
    if status in (1, 74):
        assert all(re.fullmatch(r"kerneld: .+", told) for told in done.stderr.splitlines())


@pytest.mark.parametrize(("deed", "said"), [("path", {}), ("check", {"valid": True})])
def test_where_the_configuration_is_and_that_it_is_right_has_json(
    tmp_path: Path, deed: str, said: dict[str, bool]
) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    told = json.loads(kerneld("config", deed, "--json", **environ).stdout)
    path = kerneld("config", "path", **environ).stdout.strip()
    assert told == {"path": path, "exists": Path(path).exists(), **said}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_page_with_an_example(verb: str) -> None:
    page = kerneld(verb, "--help").stdout
    assert f"  kerneld {verb}" in page.partition("Example")[2]
    assert max(map(len, page.splitlines())) <= 80


def test_every_verb_is_listed() -> None:
    page = kerneld("--help").stdout
    assert [verb for verb in VERBS if f"\n  {verb} " not in page] == []


def test_json_is_what_the_store_holds(folder: Path) -> None:
    with Store.read(folder / "k.db") as store:
        held = {end.uuid: end for end in store.ends()}
    for form in ("--json", "--jsonl"):
        done = kerneld(
            "incidents", "--all", "--db", folder / "k.db", form, "--config", folder / "right.toml"
        )
        rows = (
            json.loads(done.stdout) if form == "--json" else map(json.loads, done.stdout.splitlines())
        )
        assert {row["uuid"]: Incident.model_validate(row) for row in rows} == held
    one = kerneld("show", "3", "--db", folder / "k.db", "--json", "--config", folder / "right.toml")
    assert Incident.model_validate_json(one.stdout) == next(e for e in held.values() if e.id == 3)


def test_nothing_found_is_an_empty_list_in_json(folder: Path) -> None:
    for words in (["incidents", "--json"], ["show", "--json"], ["kernels", "--json"]):
        done = kerneld(*words, "--db", folder / "empty.db")
        assert (done.returncode, json.loads(done.stdout)) == (1, [])
    assert kerneld("incidents", "--jsonl", "--db", folder / "empty.db").stdout == ""


def test_the_list_is_newest_last_and_leaves_out_what_was_asked_for(folder: Path) -> None:
    def ids(*flags: str) -> list[str]:
        out = kerneld("incidents", "--csv", "--db", folder / "k.db", *flags).stdout
        return [row["id"] for row in csv.DictReader(io.StringIO(out))]

    assert ids() == ["1", "2", "3", "5"]
    assert ids("--reverse") == ["5", "3", "2", "1"]
    assert ids("-n", "2") == ["3", "5"]
    assert "4" in ids("--all")
    assert ids("--until", "2026-11-19") == ["1"]
    assert ids("--since", "2026-11-21T14:00Z") == ["3", "5"]


def test_a_large_store_is_told_whole_and_in_order(tmp_path: Path) -> None:
    """More than is held at once, bursts at one moment and gaps of years among them."""
    moments = [DIED] * 1200 + [DIED - timedelta(days=3000)]
    moments += [DIED + timedelta(seconds=number) for number in range(700)]
    database = tmp_path / "k.db"
    ends = [(incident(n, died_at=at), None) for n, at in enumerate(moments)]
    with Store.open(database) as store:
        store.save_all(ends)
    told = kerneld("incidents", "--jsonl", "--db", database).stdout
    rows = [json.loads(line) for line in told.splitlines()]
    assert [row["died_at"] for row in rows] == [iso(at) for at in sorted(moments)]
    assert {row["uuid"] for row in rows} == {end.uuid for end, _ in ends}


@pytest.mark.parametrize(
    "document",
    ['{"x":"a secret"}', "a secret", b"\xff\xfea secret", 7],
    ids=["json", "text", "raw", "number"],
)
def test_a_row_that_cannot_be_read_costs_the_others_nothing(tmp_path: Path, document: object) -> None:
    """It is named by its id, and nothing of what stands there is told."""
    database = tmp_path / "k.db"
    ends = [(incident(n, died_at=DIED + timedelta(seconds=n)), None) for n in (1, 2)]
    believed = incident(3, cause=Cause.KILLED, confidence=Confidence.POSSIBLE)
    with Store.open(database) as store:
        store.save_all([*ends, (believed.model_copy(update={"uuid": CASE.uuid}), CASE)])
        store.save_all([(incident(4, died_at=DIED - timedelta(days=9)), None)])
        store.save_all([(incident(5, died_at=NOW), None)])
    _break(database, document, "id IN (1, 5)")
    for line, left in (
        ("incidents --csv", ["4", "3", "2"]),
        ("export --csv", ["4", "3", "2"]),
        ("rejudge --dry-run", ["3"]),
        ("show latest", []),
    ):
        done = kerneld(*line.split(), "--db", database)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"kerneld: \S+k\.db: can't be read, and .+ incident [15].*\n", done.stderr)
        assert "secret" not in done.stderr
        assert re.findall(r"^(\d+)[,:]", done.stdout, re.MULTILINE) == left
    done = kerneld("show", "1", "--db", database)
    assert (done.returncode, done.stdout) == (74, "")
    assert re.fullmatch(r"kerneld: \S+k\.db: incident 1 can't be read: its row is .+\n", done.stderr)


def _break(database: Path, document: object, where: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        what = "CAST(? AS TEXT)" if isinstance(document, bytes) else "?"
        db.execute(f"UPDATE ends SET document = {what} WHERE {where}", [document])


def test_evidence_that_cannot_be_read_is_as_good_as_gone(tmp_path: Path) -> None:
    database = tmp_path / "k.db"
    with Store.open(database) as store:
        store.save_all([(incident(1).model_copy(update={"uuid": CASE.uuid}), CASE)])
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("UPDATE evidence SET document = 'a secret'")
    for line, status in (("export --case", 1), ("rejudge", 0), ("show 1", 0)):
        done = kerneld(*line.split(), "--db", database)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stderr


def test_code_of_others_is_not_shown_to_an_admin_unasked(folder: Path) -> None:
    """The database keeps it; who reads it without privacy.admin_sees_code does not see it."""
    secret = "large_list.append"
    for words in (["show", "3"], ["incidents", "--json"], ["export"], ["show", "3", "--json"]):
        assert secret not in kerneld(*words, "--db", folder / "k.db").stdout
        asked = kerneld(*words, "--db", folder / "k.db", "--config", folder / "right.toml")
        assert secret in asked.stdout


@pytest.mark.parametrize(
    "line",
    ["incidents", "incidents --json", "incidents --jsonl", "incidents --csv", "show latest", "export",
     "show latest --json", "export --redact", "incidents --user \x1b[31mx", "show \x1b]0;x\x07"],
)  # fmt: skip
def test_no_hostile_name_reaches_the_terminal_raw(folder: Path, line: str) -> None:
    done = kerneld(*line.split(), "--db", folder / "h.db")
    assert RAW.findall(done.stdout) == []
    assert RAW.findall(done.stderr) == []


def test_a_refused_place_keeps_no_trace_and_no_name_is_told_raw(tmp_path: Path) -> None:
    """The recorder escapes what others named, as every other verb does."""
    place = tmp_path / "\x1b]0;owned\x07"
    place.mkdir(mode=0o700)
    strange = place / "strange.db"
    strange.write_bytes(b"no database " * 1000)
    config = tmp_path / "c.toml"
    config.write_text('["\\u001b[2J"]\n')
    argv = [sys.executable, "-m", "kerneld.daemon", "--force"]
    for words, status in (
        (["--db", str(place)], 74),
        (["--db", str(strange)], 78),
        (["--db", str(strange)], 78),
        (["--db", str(place / "k.db"), "--config", str(config)], 78),
    ):
        done = subprocess.run([*argv, *words], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == status, done.stderr
        assert RAW.findall(done.stderr) == []
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([place.name, config.name])
    assert [file.name for file in place.iterdir()] == ["strange.db"]


def test_an_exported_case_is_a_fixture_that_gets_its_verdict(folder: Path) -> None:
    done = kerneld("export", CASE.uuid, "--case", "--redact", "--db", folder / "k.db")
    document = json.loads(done.stdout)
    assert set(document) == {"header", "case", "expect"}
    assert document["expect"] == {"cause": "killed", "confidence": "possible"}
    assert set(document["header"]) == {"captured_at", "linux", "distro", "kerneld"}
    assert "alice" not in done.stdout


def test_rejudging_gives_todays_verdict_and_says_what_was_believed(tmp_path: Path) -> None:
    database = tmp_path / "k.db"
    before = incident(cause=Cause.KILLED, confidence=Confidence.POSSIBLE).model_copy(
        update={"uuid": CASE.uuid, "id": None}
    )
    with Store.open(database) as store:
        store.save_all([(before, CASE)])
    dry = kerneld("rejudge", "--dry-run", "--db", database)
    assert dry.stdout == "1: killed, possible -> oom-cgroup, certain\n"
    for expected in ("1: killed, possible -> oom-cgroup, certain\n", "every verdict stays\n"):
        assert kerneld("rejudge", "--db", database).stdout == expected
    with Store.read(database) as store:
        after = store.get(CASE.uuid)
    assert (after.id, after.cause, after.revision) == (1, Cause.OOM_CGROUP, 2)
    assert after.timeline[-1].text == "judged again by newer rules; before: killed, possible"
    assert after.recorded_at == before.recorded_at


def test_a_prune_by_age_that_takes_much_waits_for_a_yes(tmp_path: Path) -> None:
    database = tmp_path / "k.db"
    old = [
        (incident(n, died_at=datetime.now(UTC) - timedelta(days=400 - n)), None) for n in range(1, 6)
    ]
    with Store.open(database) as store:
        store.save_all(old)
    refused = kerneld("prune", "--db", database)
    assert refused.returncode == 1
    assert "kerneld prune --yes" in refused.stderr
    assert kerneld("prune", "--yes", "--dry-run", "--db", database).stdout.startswith(
        "would delete 5 ends"
    )
    assert kerneld("prune", "--yes", "--db", database).stdout.startswith("deleted 5 ends")
    assert kerneld("incidents", "--all", "--db", database).returncode == 1


def test_the_living_are_listed(tmp_path: Path) -> None:
    state = LivingState(
        key=ProcessKey(boot_id="b", pid=4242, start_ticks=1),
        at=datetime.now(UTC),
        kernel_id="k",
        state="busy",
        uid=1001,
        user_name="alice",
        started_at=NOW,
    )
    database = tmp_path / "k.db"
    with LiveWriter(tmp_path / "k.db.live") as live:
        daemon = DaemonState(pid=1, started_at=NOW, version="1", mode=Mode.USER, database=str(database))
        live.write([row_of(state)], daemon, at=datetime.now(UTC))
        table = kerneld("kernels", "--db", database)
        assert table.stdout.splitlines()[1].split() == ["4242", "alice", "busy"]
        rows = json.loads(kerneld("kernels", "--json", "--db", database).stdout)
    assert LivingState.model_validate(rows[0]) == state
    gone = kerneld("kernels", "--db", database)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.startswith("kerneld: no recorder runs; one was last heard today")


def test_following_tells_what_settles_and_fits(tmp_path: Path) -> None:
    database = tmp_path / "k.db"
    with Store.open(database) as store:
        words = ["incidents", "--follow", "--jsonl", "--user", "alice", "--db", str(database)]
        child = subprocess.Popen(
            [sys.executable, "-m", "kerneld", *words], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            store.save_all([(incident(1), None)])
            seen = [json.loads(child.stdout.readline())["user"]["name"]]
            store.save_all([(incident(2, user=UserPart(uid=7, name="bob")), None)])
            store.save_all([(incident(3, state=State.PROVISIONAL), None)])
            store.save_all([(incident(4), None)])
            seen.append(json.loads(child.stdout.readline())["uuid"])
        finally:
            child.send_signal(signal.SIGINT)
            status = child.wait(10)
            child.stdout.close()
    assert seen == ["alice", incident(4).uuid]
    assert status == -signal.SIGINT


def test_a_closed_pipe_ends_it_without_a_word(folder: Path) -> None:
    line = f"{sys.executable} -m kerneld export --db {folder / 'k.db'} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, check=False)
    assert done.stderr == b""


def test_a_full_disk_is_told_in_one_line(folder: Path) -> None:
    argv = [sys.executable, "-m", "kerneld", "causes"]
    with open("/dev/full", "wb") as full_disk:
        done = subprocess.run(argv, stdout=full_disk, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 74
    assert done.stderr.decode() == "kerneld: output: No space left on device\n"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(folder: Path, no_color: str, coloured: bool) -> None:
    assert "\x1b" not in kerneld("show", "3", "--db", folder / "k.db").stdout
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "kerneld", "incidents", "--db", str(folder / "k.db")]
    environ = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    with subprocess.Popen(argv, stdout=slave, env=environ) as child:
        child.wait(30)
    told = os.read(master, 65536).decode()
    os.close(slave)
    os.close(master)
    assert "oom-cgroup" in told
    assert ("\x1b[" in told) is coloured


def test_an_encoding_that_lacks_a_sign_loses_no_line(folder: Path) -> None:
    done = kerneld("show", "3", "--db", folder / "k.db", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "What to do" in done.stdout


def test_only_what_is_asked_for_is_loaded() -> None:
    """`kerneld --version` and the list of causes need neither SQLite nor the web of models."""
    code = (
        "import sys, kerneld.cli.main; print([m for m in ('sqlite_utils', 'pydantic_core.core_schema'"
    )
    code += ", 'kerneld.store', 'rich.table') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kerneld.store" not in done.stdout
    assert "sqlite_utils" not in done.stdout


MOMENTS = [
    ("2d", datetime(2026, 11, 19, 14, 30, tzinfo=UTC)),
    ("1.5h", datetime(2026, 11, 21, 13, 0, tzinfo=UTC)),
    ("30m ago", datetime(2026, 11, 21, 14, 0, tzinfo=UTC)),
    ("today", datetime(2026, 11, 21, tzinfo=UTC)),
    ("Yesterday", datetime(2026, 11, 20, tzinfo=UTC)),
    ("09:15", datetime(2026, 11, 21, 9, 15, tzinfo=UTC)),
    ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ("2026-01-31T14:03+02:00", datetime(2026, 1, 31, 12, 3, tzinfo=UTC)),
    ("2026-01-31T14:03:00Z", datetime(2026, 1, 31, 14, 3, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS, ids=[text for text, _ in MOMENTS])
def test_a_moment_is_written_as_people_do(text: str, moment: datetime) -> None:
    assert parse_when(text, now=NOW, zone=UTC, option="--since") == moment


@pytest.mark.parametrize(
    "text", ["", "soon", "-2d", "2y", "25:00", "2026-13-01", "9" * 9 + "w", "٢d", "\x1b"]
)
def test_what_is_no_moment_is_a_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        parse_when(text, now=NOW, zone=UTC, option="--since")
