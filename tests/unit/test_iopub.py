"""iopub messages, serialized and signed by jupyter_client's own Session: believed only if signed."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jupyter_client.session import Session

from kerneld.model.said import CellFailed, CellStarted, CodeFacts, KernelStatus, ShutdownAnnounced
from kerneld.model.vocabulary import Shortage
from kerneld.parse.iopub import (
    MAX_SOURCE_BYTES,
    Header,
    Publisher,
    Refusal,
    knows_scheme,
    language_of,
    own_topics,
    parse_iopub,
    topics_of,
)
from kerneld.reader.voice import Voice

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = b"a-key-of-this-kernel"
PUBLISHER = Publisher(handle=7, key=KEY, scheme="hmac-sha256", language="python")
REQUEST = {"msg_id": "r-1", "msg_type": "execute_request"}


def frames_of(kind: str, content: object, *, parent: object = REQUEST, key: bytes = KEY) -> list[bytes]:
    session = Session(key=key)
    message = session.msg(kind, content=content)
    message["parent_header"] = parent
    return [b"kernel.0a.b", *session.serialize(message)]


def signed(header: bytes, parent: bytes, content: bytes, metadata: bytes = b"{}") -> list[bytes]:
    """Hostile bytes that bear a true signature: the user has the key."""
    session = Session(key=KEY)
    parts = [header, parent, metadata, content]
    return [b"kernel.x", b"<IDS|MSG>", session.sign(parts), *parts]


def parse(frames: list[bytes], publisher: Publisher = PUBLISHER) -> object:
    return parse_iopub(frames, publisher, at=AT)


@pytest.mark.parametrize(
    ("topic", "wide"),
    [
        (b"kernel.76e91a3b-d045-4a81-b000-bfd21ebfbedf.status", b"kernel."),
        (b"kernel_core.feb36449badc48fc8315b22f0de3a8a0.stream", b"kernel_core."),
    ],
)
def test_a_message_tells_its_kernels_own_topics(topic: bytes, wide: bytes) -> None:
    own = (
        topic[: topic.rindex(b".") + 1] + word
        for word in (b"status", b"execute_input", b"error", b"shutdown")
    )
    assert own_topics(topic) == (wide, tuple(own))


@pytest.mark.parametrize(
    "topic",
    [b"", b"kernel.", b"kernel.status", b"kernel..status", b"kernel.a.status\n", b"kernel.a.b.status",
     b"kernel.a.", b"kernel." + b"a" * 65 + b".status", b"status", b"xkernel.a.status"],
)  # fmt: skip
def test_no_other_topic_narrows_what_is_heard(topic: bytes) -> None:
    assert own_topics(topic) is None


def test_a_state_names_the_request_it_serves() -> None:
    assert parse(frames_of("status", {"execution_state": "busy"})) == KernelStatus(
        at=AT, handle=7, state="busy", parent="r-1", parent_type="execute_request"
    )


@pytest.mark.parametrize("parent", [None, {}], ids=["null (xeus, IRkernel)", "empty (ipykernel)"])
def test_a_message_of_its_own_accord_has_no_parent(parent: object) -> None:
    assert parse(frames_of("status", {"execution_state": "starting"}, parent=parent)) == KernelStatus(
        at=AT, handle=7, state="starting"
    )


def test_a_cell_comes_with_its_source_digest_and_facts() -> None:
    source = "import os\nos._exit(3)  # é"
    assert parse(frames_of("execute_input", {"code": source, "execution_count": 4})) == CellStarted(
        at=AT,
        handle=7,
        parent="r-1",
        execution_count=4,
        source=source,
        sha256=hashlib.sha256(source.encode()).hexdigest(),
        code=CodeFacts(hard_exits=True),
    )


def test_a_long_cell_is_cut_and_its_digest_is_of_the_whole() -> None:
    source = "é" * 70_000
    told = parse(frames_of("execute_input", {"code": source, "execution_count": 1}))
    assert isinstance(told, CellStarted)
    assert told.source == "é" * (MAX_SOURCE_BYTES // 2)
    assert told.sha256 == hashlib.sha256(source.encode()).hexdigest()
    assert not told.code.parsed


def test_an_error_keeps_its_name_and_a_bounded_value() -> None:
    content = {"ename": "MemoryError", "evalue": "x" * 5000, "traceback": ["y" * 100_000]}
    assert parse(frames_of("error", content)) == CellFailed(
        at=AT, handle=7, parent="r-1", name="MemoryError", value="x" * 1024, shortage=Shortage.MEMORY
    )


@pytest.mark.parametrize("kind", ["shutdown_reply", "shutdown"], ids=["ipykernel", "xeus"])
@pytest.mark.parametrize("restart", [True, False])
def test_a_shutdown_says_whether_it_is_a_restart(kind: str, restart: bool) -> None:
    content = {"status": "ok", "restart": restart}
    assert parse(frames_of(kind, content)) == ShutdownAnnounced(at=AT, handle=7, restart=restart)


@pytest.mark.parametrize("kind", ["iopub_welcome", "stream", "display_data", "execute_result", "x"])
def test_what_kerneld_does_not_keep_is_nothing(kind: str) -> None:
    assert parse(frames_of(kind, {"name": "stdout", "text": "secret"})) is None


def test_another_key_is_refused_before_any_json_is_read() -> None:
    assert parse(frames_of("status", {"execution_state": "busy"}, key=b"other")) is Refusal.SIGNATURE
    deep = [b"k", b"<IDS|MSG>", b"0" * 64, b"[" * 60_000, b"{}", b"{}", b"{}"]
    assert parse(deep) is Refusal.SIGNATURE


def test_each_signed_part_is_covered() -> None:
    """One bit in any of the four parts, or in the signature, and the message is refused."""
    frames = frames_of("execute_input", {"code": "1", "execution_count": 1})
    for index in range(2, 7):
        forged = list(frames)
        forged[index] = forged[index][:-1] + bytes([forged[index][-1] ^ 1])
        assert parse(forged) is Refusal.SIGNATURE


@pytest.mark.parametrize(
    "publisher",
    [
        Publisher(7, b"", "hmac-sha256", "python"),
        Publisher(7, KEY, "hmac-sha512", "python"),
        Publisher(7, KEY, "none", "python"),
        Publisher(7, KEY, "", "python"),
    ],
    ids=["no key", "other scheme", "unknown scheme", "no scheme"],
)
def test_what_cannot_be_proven_is_not_believed(publisher: Publisher) -> None:
    assert parse(frames_of("status", {"execution_state": "busy"}), publisher) is Refusal.SIGNATURE
    unsigned = frames_of("status", {"execution_state": "busy"}, key=b"")
    assert parse(unsigned, publisher) is Refusal.SIGNATURE


STATUS = json.dumps({"msg_type": "status"}).encode()
CELL = json.dumps({"msg_type": "execute_input"}).encode()
HOSTILE = {
    "deep header": (b"[" * 60_000, b"{}", b"{}"),
    "deep content": (CELL, b"{}", b"[" * 1_000_000),
    "deep parent": (CELL, b'{"a":' * 10_000, b"{}"),
    "no utf-8": (CELL, b"{}", b'{"code": "\xff"}'),
    "utf-16": (CELL, b"{}", '{"code": "1"}'.encode("utf-16")),
    "content is a list": (CELL, b"{}", b"[]"),
    "code is a number": (CELL, b"{}", b'{"code": 5}'),
    "no code": (CELL, b"{}", b"{}"),
    "huge integer": (CELL, b"{}", b'{"code": "1", "execution_count": ' + b"9" * 5000 + b"}"),
    "huge header": (b'{"msg_type": "status", "x": "' + b"x" * 70_000 + b'"}', b"{}", b"{}"),
}


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_true_signature_does_not_make_nonsense_a_fact(parts: tuple[bytes, bytes, bytes]) -> None:
    assert parse(signed(*parts)) is Refusal.SHAPE


def test_values_out_of_range_are_unknown() -> None:
    content = b'{"code": "a\\ud800b", "execution_count": 99999999999999999999}'
    told = parse(signed(CELL, b'{"msg_id": 5, "msg_type": []}', content))
    assert isinstance(told, CellStarted)
    assert (told.source, told.execution_count, told.parent) == ("a?b", None, None)
    assert told.model_dump_json()
    assert parse(signed(STATUS, b"{}", b'{"execution_state": "\\u001b[2J"}')) is None


def test_an_8_mib_cell_costs_little() -> None:
    """The largest message that the subscription lets in: no quadratic step on the way."""
    frames = frames_of("execute_input", {"code": "x = 1\n" * 1_300_000, "execution_count": 1})
    began = time.perf_counter()
    assert isinstance(parse(frames), CellStarted)
    assert time.perf_counter() - began < 1.0


@given(st.lists(st.binary(max_size=40) | st.just(b"<IDS|MSG>"), max_size=9))
def test_no_frames_raise(frames: list[bytes]) -> None:
    assert parse(frames) is Refusal.SIGNATURE


FIELDS = ("code", "ename", "evalue", "execution_count", "execution_state", "restart", "msg_id")
json_bytes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["status", "execute_input", "error", "shutdown_reply", "shutdown"]),
    json_bytes | st.binary(max_size=30),
    json_bytes | st.binary(max_size=30),
)
def test_no_signed_content_raises(kind: str, parent: bytes, content: bytes) -> None:
    told = parse(signed(json.dumps({"msg_type": kind}).encode(), parent, content))
    assert told is None or isinstance(
        told, Refusal | KernelStatus | CellStarted | CellFailed | ShutdownAnnounced
    )


@pytest.mark.parametrize("implementation", ["ipykernel", "bash", "xeus", "other", "new-one"])
def test_no_kernel_but_irkernel_is_asked_for_everything(implementation: str) -> None:
    assert b"" not in topics_of(implementation)
    assert not any(b"stream.stdout".startswith(topic) for topic in topics_of(implementation))
    assert topics_of("irkernel") == (b"",)


def test_a_language_is_told_by_make_and_name() -> None:
    assert language_of("ipykernel", "") == "python"
    assert language_of("xeus", "xpython") == "python"
    assert language_of("xeus", "xcpp17") is None
    assert language_of("irkernel", "ir") == "R"
    assert knows_scheme("hmac-sha256")
    assert not knows_scheme("sha256")


@pytest.mark.parametrize(
    ("session", "second", "own"),
    [("a", 1, True), ("b", 2, True), ("a", 3, False), ("b", -1, False)],
    ids=["first", "a new life", "the old one", "older than what was heard"],
)
def test_a_voice_is_of_one_life_and_of_now(session: str, second: int, own: bool) -> None:
    voice = Voice()
    assert voice.is_own(Header("a", AT), at=AT)
    if session == "a" and not own:
        assert voice.is_own(Header("b", AT + timedelta(seconds=2)), at=AT + timedelta(seconds=2))
    if second < 0:
        assert voice.is_own(Header("b", AT + timedelta(seconds=4)), at=AT + timedelta(seconds=4))
    dated_at = AT + timedelta(seconds=second)
    assert voice.is_own(Header(session, dated_at), at=AT + timedelta(seconds=5)) is own


def test_a_clock_that_is_set_back_silences_no_kernel() -> None:
    voice, back = Voice(), AT - timedelta(hours=1)
    assert voice.is_own(Header("a", AT), at=AT)
    assert voice.is_own(Header("a", back), at=back)


def test_what_is_half_a_minute_old_is_not_believed() -> None:
    assert not Voice().is_own(Header("a", AT), at=AT + timedelta(seconds=31))
