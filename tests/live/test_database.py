"""What the deaths left on disk, and what the command line reads of it."""

import json
import sys
from collections import Counter

from jupyters import TOKEN
from prometheus_client.parser import text_string_to_metric_families as families
from report import NEEDED, Report, each_role

from kerneld.model.vocabulary import State
from kerneld.store import Store

pytestmark = NEEDED


@each_role
def test_the_command_line_tells_what_the_store_holds(report: Report, role: str) -> None:
    daemon = report.daemons[role]
    argv = [sys.executable, "-m", "kerneld", "incidents", "--db", str(daemon.db), "--all", "--json"]
    done = daemon.person.run([*argv, "-n", "1000"])
    assert done.returncode == 0, done.stderr
    assert {end["uuid"] for end in json.loads(done.stdout)} == {end.uuid for end in report.ends[role]}


@each_role
def test_the_metrics_count_what_happened(report: Report, role: str) -> None:
    told = {family.name: family.samples for family in families(report.metrics[role])}
    assert [sample.value for sample in told["kerneld_up"]] == [1]
    ups = {sample.labels["source"]: sample.value for sample in told["kerneld_source_up"]}
    assert ups["exits"] == ups["memory"] == 1
    delays = {sample.name: sample.value for sample in told["kerneld_verdict_delay_seconds"]}
    assert delays["kerneld_verdict_delay_seconds_count"] >= 20
    assert delays["kerneld_verdict_delay_seconds_sum"] > 0
    with Store.read(report.daemons[role].db) as store:
        incidents = [end for end in store.ends() if end.is_incident and end.state is State.SETTLED]
        assert store.tallies() == Counter(end.cause for end in incidents)
    causes = {sample.labels["cause"] for sample in told["kerneld_incidents"] if sample.value}
    assert causes
    assert causes <= {end.cause.value for end in incidents}


@each_role
def test_no_key_and_no_token_reaches_the_disk(report: Report, role: str) -> None:
    folder = report.daemons[role].db.parent
    held = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    secrets = [TOKEN, *report.stage.secrets]
    assert len(secrets) > 10
    assert [secret for secret in secrets if secret.encode() in held] == []


@each_role
def test_the_database_is_its_owners_alone(report: Report, role: str) -> None:
    daemon = report.daemons[role]
    files = [daemon.db.parent, *daemon.db.parent.iterdir()]
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []
    assert {file.stat().st_uid for file in files} == {daemon.person.uid}
