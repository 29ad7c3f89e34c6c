"""Connection files: jupyter_client's own are read exactly; nothing hostile passes or raises."""

import hashlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jupyter_client.connect import write_connection_file

from kerneld.model.process import Connection
from kerneld.parse.connection import MAX_BYTES, parse_connection

BOOT_ID = "5d0ad42e-6d0f-4f8d-8c55-6f9a3f3a1c4e"


def written(tmp_path: Path, **changes: object) -> dict[str, object]:
    """What jupyter_client writes, with changes."""
    path, _ = write_connection_file(
        str(tmp_path / "kernel-x.json"), ip="127.0.0.1", key=b"0123-abcdef", kernel_name="python3"
    )
    fields = json.loads(Path(path).read_text())
    return {**fields, **changes}


def parse(fields: object) -> tuple[Connection, bytes] | str:
    return parse_connection(json.dumps(fields).encode(), boot_id=BOOT_ID)


def read(fields: object) -> Connection:
    parsed = parse(fields)
    assert not isinstance(parsed, str), parsed
    return parsed[0]


def test_a_real_file_is_read_whole(tmp_path: Path) -> None:
    """Every value of jupyter_client's file arrives; the key only as bytes and as a keyed digest."""
    fields = written(tmp_path, jupyter_session="/home/ann/work/n.ipynb")
    parsed = parse(fields)
    assert not isinstance(parsed, str)
    connection, key = parsed
    assert key == b"0123-abcdef"
    assert connection == Connection(
        transport="tcp",
        ip="127.0.0.1",
        shell_port=fields["shell_port"],
        iopub_port=fields["iopub_port"],
        stdin_port=fields["stdin_port"],
        control_port=fields["control_port"],
        hb_port=fields["hb_port"],
        signature_scheme="hmac-sha256",
        kernel_name="python3",
        notebook="/home/ann/work/n.ipynb",
        key_digest=hashlib.blake2b(key, key=BOOT_ID.encode()).hexdigest(),
        encrypted=False,
    )
    assert "0123-abcdef" not in connection.model_dump_json()


def test_a_file_without_a_notebook_names_none(tmp_path: Path) -> None:
    assert read(written(tmp_path)).notebook is None
    assert read(written(tmp_path, jupyter_session="")).notebook is None


def test_curve_keys_are_seen_and_dropped(tmp_path: Path) -> None:
    connection = read(written(tmp_path, curve_publickey="P" * 40, curve_secretkey="S" * 40))
    assert connection.encrypted
    assert "SSSS" not in connection.model_dump_json()


def test_ipc_paths_are_kept_as_they_are(tmp_path: Path) -> None:
    connection = read(written(tmp_path, transport="ipc", ip="/tmp/kernel-x-ipc", iopub_port=2))
    assert (connection.transport, connection.ip, connection.iopub_port) == (
        "ipc",
        "/tmp/kernel-x-ipc",
        2,
    )


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.4.5.6", "::1"])
def test_loopback_literals_are_taken(tmp_path: Path, ip: str) -> None:
    assert read(written(tmp_path, ip=ip)).ip == ip


@pytest.mark.parametrize(
    "ip",
    [
        "169.254.169.254", "10.0.0.1", "0.0.0.0", "localhost", "metadata.google.internal",
        "::1%eth0", "::", "127.1", "2130706433", "127.0.0.1:80", "127.0.0.1\n", "", None, 127, ["::1"],
    ],
)  # fmt: skip
def test_no_other_address_is_taken(tmp_path: Path, ip: object) -> None:
    assert isinstance(parse(written(tmp_path, ip=ip)), str)


@pytest.mark.parametrize("port", [0, -1, 65536, "5", 5.0, True, None, [], 10**400], ids=repr)
def test_a_port_is_an_integer_in_range(tmp_path: Path, port: object) -> None:
    problem = parse(written(tmp_path, iopub_port=port))
    assert isinstance(problem, str)
    assert "iopub_port" in problem


HOSTILE = {
    "empty": (b"", "empty"),
    "cut": (b'{"shell_port": 50', "not JSON"),
    "array": (b"[]", "no JSON object"),
    "deep": (b"[" * 60_000, "nested"),
    "deep object": (b'{"a":' * 12_000, "nested"),
    "twice": (b'{"ip": "127.0.0.1", "ip": "10.0.0.1"}', "twice"),
    "twice inside": (b'{"x": {"a": 1, "a": 2}}', "twice"),
    "nan": (b'{"shell_port": NaN}', "NaN"),
    "infinity": (b'{"shell_port": -Infinity}', "Infinity"),
    "utf-16": ('{"ip": "::1"}'.encode("utf-16"), "UTF-8"),
    "bad utf-8": (b'{"ip": "\xff"}', "UTF-8"),
    "bom": (b'\xef\xbb\xbf{"ip": "::1"}', "not JSON"),
    "huge integer": (b'{"shell_port": ' + b"9" * 5000 + b"}", "not JSON"),
    "too large": (b" " * (MAX_BYTES + 1), "bytes"),
}


@pytest.mark.parametrize(("data", "word"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_a_problem_in_words(data: bytes, word: str) -> None:
    problem = parse_connection(data, boot_id=BOOT_ID)
    assert isinstance(problem, str)
    assert word in problem


def test_64_mb_are_refused_unread() -> None:
    """json takes 193 ms for 64 MB; the size is looked at first."""
    data = b'{"key": "' + b"x" * 64_000_000 + b'"}'
    began = time.perf_counter()
    assert isinstance(parse_connection(data, boot_id=BOOT_ID), str)
    assert time.perf_counter() - began < 0.05


def test_a_problem_never_quotes_the_file(tmp_path: Path) -> None:
    """A key in the wrong place must not reach a log by way of an error."""
    for name in ("key", "transport", "ip", "kernel_name", "signature_scheme"):
        for value in ("s3cret-marker" * 400, {"s3cret-marker": 1}, "s3cret-marker\ud800"):
            parsed = parse(written(tmp_path, **{name: value}))
            assert isinstance(parsed, str)
            assert "s3cret-marker" not in parsed


@given(st.binary(max_size=400))
def test_no_bytes_raise(data: bytes) -> None:
    assert isinstance(parse_connection(data, boot_id=BOOT_ID), str | tuple)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port", "ip", "key", "transport",
         "signature_scheme", "kernel_name", "jupyter_session", "curve_publickey")  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), json_values))
def test_no_values_raise(fields: dict[str, object]) -> None:
    good = dict.fromkeys(NAMES[:5], 5000) | {"ip": "127.0.0.1", "key": "k", "transport": "tcp"}
    assert isinstance(parse(good | fields), str | tuple)
