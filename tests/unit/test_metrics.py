"""Metrics: counters that never fall, labels that are bounded, and rules that Prometheus accepts."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from incidents import HOSTILE
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_families,
)
from prometheus_client.parser import text_string_to_metric_families as families
from store_rig import NOW, an_end
from test_live import a_daemon, a_state

from kerneld.config import Retention
from kerneld.figures import figures_of
from kerneld.live import LiveWriter, row_of
from kerneld.model.figures import Figures
from kerneld.model.incident import UserPart
from kerneld.model.living import VERDICT_BOUNDS_S, SourceHealth, VerdictDelays
from kerneld.model.vocabulary import Category, Cause, State
from kerneld.outputs.metrics import exposition
from kerneld.store import Store
from kerneld.store.schema import MIGRATIONS, migrate

ALERTS = Path(__file__).with_name("alerts.yml")
RULES = (files("kerneld") / "data" / "alerts.yml").read_text()
BOARD = json.loads((files("kerneld") / "data" / "grafana.json").read_text())
DELAYS = VerdictDelays(counts=(0, 3, 4, *(0,) * (len(VERDICT_BOUNDS_S) - 3), 1), sum_s=99.5)
DAEMON = a_daemon().model_copy(
    update={
        "sources": (
            SourceHealth(name="kmsg", up=False, reason="denied", lost=7),
            SourceHealth(name="exits", up=True),
        ),
        "lag_s": 0.25,
        "unsaved": 2,
        "verdict_delays": DELAYS,
    }
)
FIGURES = Figures({Cause.SEGFAULT: 3}, daemon=DAEMON, kernels={"busy": 2, "idle": 1})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "kerneld" / "kerneld.db") as opened:
        yield opened


def samples(figures: Figures) -> dict[str, float]:
    """`kerneld_kernels{state="busy"}` to its value."""
    found: dict[str, float] = {}
    for family in families(exposition(figures).text):
        for name, labels, value, *_ in family.samples:
            inside = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
            assert f"{name}{{{inside}}}" not in found
            found[f"{name}{{{inside}}}"] = value
    return found


# ---------------------------------------------------------------- counting


def test_an_incident_counts_once_when_it_settles_and_for_good(store: Store) -> None:
    store.save_all([(an_end(1, state=State.PROVISIONAL), None), (an_end(2, cause=Cause.KILLED), None)])
    assert store.tallies() == {Cause.KILLED: 1}
    store.save_all([(an_end(1), None)])
    store.save_all([(an_end(1, cause=Cause.SEGFAULT, revision=2), None)])
    assert store.tallies() == {Cause.KILLED: 1, Cause.OOM_HOST: 1}, "as it first settled"


def test_what_is_no_incident_is_not_counted(store: Store) -> None:
    asked, followed = an_end(1, cause=Cause.RESTART), an_end(2, cause=Cause.PARENT_DIED, caused_by="u")
    store.save_all([(asked, None), (followed, None)])
    assert store.tallies() == {}


def test_what_is_pruned_counts_on(store: Store) -> None:
    """A counter that falls is taken for one that began anew: its whole value would be an increase."""
    store.save_all([(an_end(number, days_ago=400), None) for number in range(5)])
    assert store.prune(Retention(), NOW, confirmed=True).by_age == 5
    store.save_all([(an_end(9), None)])
    assert store.tallies() == {Cause.OOM_HOST: 6}


def test_an_older_database_counts_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "kerneld" / "kerneld.db"
    with Store.open(path) as store:
        store.save_all([(an_end(1), None), (an_end(2), None), (an_end(3, cause=Cause.RESTART), None)])
        store._db.execute("DROP TABLE tallies")
        store._db.execute("PRAGMA user_version = 1")
        migrate(store._db, path, MIGRATIONS[:2])
        assert store.tallies() == {Cause.OOM_HOST: 2}


def test_users_are_counted_by_name_the_most_first(store: Store, monkeypatch: Any) -> None:
    twice = [an_end(number, uid=1) for number in (1, 2)]
    nobody = an_end(3, uid=2).model_copy(update={"user": UserPart(uid=2)})
    store.save_all([(end, None) for end in (*twice, nobody, an_end(4, uid=1, cause=Cause.ABORT))])
    both = {("user1", Category.MEMORY): 2, ("user1", Category.NATIVE): 1}
    assert store.tallies_by_user() == both | {("uid 2", Category.MEMORY): 1}


def test_figures_of_a_recorder_that_runs_and_of_none(store: Store, tmp_path: Path) -> None:
    live, now = tmp_path / "live.db", datetime.now(UTC)
    store.save_all([(an_end(), None)])
    with LiveWriter(live) as writer:
        writer.write([row_of(a_state(1)), row_of(a_state(2))], DAEMON, at=now)
        found = figures_of(store, live, now, names_users=False)
    assert found == Figures({Cause.OOM_HOST: 1}, daemon=DAEMON, kernels={"busy": 2})
    stopped = figures_of(store, live, now, names_users=True)
    assert stopped == Figures({Cause.OOM_HOST: 1}, users={("user1000", Category.MEMORY): 1})


# ---------------------------------------------------------------- telling


def test_the_figures_are_told() -> None:
    told = samples(FIGURES)
    expected = {
        'kerneld_incidents_total{category="native",cause="segfault"}': 3,
        'kerneld_incidents_total{category="memory",cause="oom-host"}': 0,
        'kerneld_kernels{state="busy"}': 2,
        'kerneld_kernels{state="unknown"}': 0,
        "kerneld_up{}": 1,
        "kerneld_lag_seconds{}": 0.25,
        "kerneld_unsaved_ends{}": 2,
        'kerneld_source_up{source="kmsg"}': 0,
        'kerneld_source_up{source="exits"}': 1,
        'kerneld_lost_facts_total{source="kmsg"}': 7,
        'kerneld_verdict_delay_seconds_bucket{le="0.005"}': 3,
        'kerneld_verdict_delay_seconds_bucket{le="0.01"}': 7,
        'kerneld_verdict_delay_seconds_bucket{le="+Inf"}': 8,
        "kerneld_verdict_delay_seconds_count{}": 8,
        "kerneld_verdict_delay_seconds_sum{}": 99.5,
    }
    assert {name: told.get(name) for name in expected} == expected


def test_without_a_recorder_nothing_is_claimed_of_the_living() -> None:
    told = samples(Figures({}))
    assert told["kerneld_up{}"] == 0
    assert {name.partition("{")[0] for name in told} == {"kerneld_up", "kerneld_incidents_total"}


def test_labels_are_bounded_and_name_no_user_unasked() -> None:
    everything = Figures(dict.fromkeys(Cause, 9), daemon=DAEMON, kernels={"busy": 10_000, "odd": 1})
    assert set(samples(everything)) == set(samples(FIGURES))
    assert "user" not in exposition(everything).text.replace('mode="user"', "")


def test_a_hostile_name_is_one_harmless_label() -> None:
    text = exposition(Figures({}, users={(HOSTILE, Category.MEMORY): 1})).text
    assert "\x1b" not in text
    assert "\u202e" not in text
    (family,) = [each for each in families(text) if each.name == "kerneld_user_incidents"]
    assert [sample.value for sample in family.samples] == [1]


def test_open_metrics_is_told_to_who_asks_for_it() -> None:
    told = exposition(FIGURES, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert told.content_type.startswith("application/openmetrics-text")
    assert "kerneld_incidents" in {family.name for family in open_families(told.text)}
    assert exposition(FIGURES, "*/*").content_type.startswith("text/plain")


# ---------------------------------------------------------------- rules and dashboard


def expressions() -> list[str]:
    """The dashboard's, with its variables filled in."""
    found = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    filled = [re.sub(r"\$__\w+", "5m", text) for text in found]
    return [re.sub(r"\$\w+", ".*", text) for text in filled]


def test_rules_and_dashboard_speak_of_metrics_that_exist() -> None:
    names = {name.partition("{")[0] for name in samples(FIGURES)}
    variables = " ".join(str(each.get("query")) for each in BOARD["templating"]["list"])
    spoken = set(re.findall(r"\bkerneld_\w+", " ".join([RULES, variables, *expressions()])))
    assert spoken - names == set()
    assert {"kerneld_up", "kerneld_incidents_total", "kerneld_source_up"} <= spoken
    causes = re.findall(r'cause="([^"]+)"', RULES) + re.findall(r"--cause (\S+?)\"?$", RULES, re.M)
    assert set(causes) <= set(Cause)
    assert set(re.findall(r'category="([^"]+)"', RULES)) <= set(Category)


def test_no_panel_of_the_dashboard_lies_on_another() -> None:
    """Grafana has 24 columns; every panel asks the data source that is chosen above."""
    places = [(panel["id"], panel["gridPos"]) for panel in BOARD["panels"]]
    assert len({number for number, _ in places}) == len(places)
    covered = [
        (x, y)
        for _, at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) == 23
    asked = {str(p["datasource"]["uid"]) for p in BOARD["panels"] if p["type"] != "row"}
    assert asked == {"${datasource}"}


def promtool(folder: Path, *words: str) -> str:
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs_promtool
def test_prometheus_accepts_rules_and_dashboard(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "kerneld", "metrics", "rules"], capture_output=True, check=True
    ).stdout
    (tmp_path / "rules.yml").write_bytes(printed)
    rules = [{"record": f"x:{at}", "expr": text} for at, text in enumerate(expressions())]
    board = {"groups": [{"name": "x", "rules": rules}]}
    (tmp_path / "board.yml").write_text(json.dumps(board))
    (tmp_path / "alerts.yml").write_text(ALERTS.read_text())
    assert f"{len(rules)} rules found" in promtool(tmp_path, "check", "rules", "board.yml")
    assert "10 rules found" in promtool(tmp_path, "check", "rules", "rules.yml")
    assert "SUCCESS" in promtool(tmp_path, "test", "rules", "alerts.yml")


@pytest.mark.needs_promtool
def test_prometheus_finds_nothing_to_blame_in_the_text() -> None:
    text = exposition(FIGURES).text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_alert_is_tried() -> None:
    assert set(re.findall(r"alert: (\w+)", RULES)) == set(
        re.findall(r"alertname: (\w+)\n\s+exp_alerts", ALERTS.read_text())
    )
