"""The end of a Jupyter server's own log to ManagerActs: what it was asked for, why a start failed.

The server's user can write there whatever it is; what is told of it counts for that user's kernels
alone, and proves nothing. Sources: jupyter_server's services/kernels (handlers.py, kernelmanager.py).
"""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial

from kerneld.model.records import Deed, ManagerAct
from kerneld.parse.kmsg_text import shown

MANAGER = "jupyter"
SLACK = timedelta(seconds=1)
TICKS = timedelta(milliseconds=20)
"""a start is known by ticks of 10 ms; no Python that started ends as soon"""
MOST_LINE = 1000
_STAMP = "%Y-%m-%d %H:%M:%S.%f"
_STAMPED = re.compile(
    r"\[[DIWEC] (?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) \w{1,40}\] (?P<said>.{1,400})"
)
_SAID: tuple[tuple[Deed, re.Pattern[str]], ...] = (
    ("shut-down", re.compile(r"Kernel shutdown: (?P<id>\S{1,64})")),
    ("restarted", re.compile(r"Kernel restarted: (?P<id>\S{1,64})")),
    ("autorestarted", re.compile(r"kernel (?P<id>\S{1,64}) restarted")),
    (
        "culled",
        re.compile(
            r"Culling '[a-z]{1,20}' kernel '.{1,80}' \((?P<id>[^()\s]{1,64})\) with \d+ connections "
            r"due to \d+ seconds of inactivity\."
        ),
    ),
)
_FRAME = re.compile(r'  File "(?P<folder>/.{0,400}/|)(?P<module>\w{1,80})\.py", line \d+.*')
_IMPORT = re.compile(r" +(?:from|import) (?P<module>\w{1,80})(?: .*|,.*)?")
_PYTHONS_OWN = re.compile(r"/(?:python3?(?:\.\d+)?t?|site-packages|dist-packages)/")
_LAST_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".*No module named '?(?P<what>[\w.]{1,80})'?"), "there is no module {what}"),
    (
        re.compile(r"(?:ImportError|AttributeError): .*'(?P<what>[\w.]{1,80})'.*"),
        "a package could not be imported: {what}",
    ),
    (re.compile(r"(?:ImportError|OSError): .*\.so\b.*"), "a compiled package could not be loaded"),
    (re.compile(r"zmq\.error\.ZMQError: Address already in use.*"), "one of its ports was in use"),
    (re.compile(r"OSError: \[Errno 28\].*"), "the disk was full"),
    (re.compile(r"OSError: \[Errno 122\].*"), "the quota of the disk was used up"),
    (re.compile(r"OSError: \[Errno 30\].*"), "the disk was read-only"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose end is looked for: the kernel's id and process. since: when that began.

    answered: it had come up, so that its start did not fail.
    """

    kernel_id: str
    pid: int
    since: datetime
    answered: bool = False


def parse_server_log(text: str, asked: Asked, *, zone: tzinfo) -> tuple[ManagerAct, ...]:
    """zone: of the server's stamps. The text's first line may be cut."""
    acts: list[ManagerAct] = []
    unstamped: list[str] = []
    # as texts: a stamp's parsing takes 20 µs
    begins = (asked.since - SLACK).astimezone(zone).strftime(_STAMP)
    began = (asked.since + TICKS).astimezone(zone).strftime(_STAMP)
    last, reason = begins, ""
    for line in text.split("\n"):
        found = _STAMPED.match(line, 0, MOST_LINE)
        if found is None:
            unstamped.append(line[:MOST_LINE])
            continue
        if found["at"] >= began and not reason:  # the last words of the next start are not this one's
            reason = _reason(unstamped)
        unstamped.clear()
        if found["at"] >= begins:
            last = last if reason else found["at"]
            acts += _said(found["said"], asked, partial(_moment, found["at"], asked.since, zone))
    reason = "" if asked.answered else reason or _reason(unstamped)
    if reason:
        at = max(asked.since, _moment(last, asked.since, zone))
        acts.append(ManagerAct(at=at, manager=MANAGER, did="start-failed", pid=asked.pid, line=reason))
    return tuple(acts)


def _said(said: str, asked: Asked, at: Callable[[], datetime]) -> Iterable[ManagerAct]:
    for did, pattern in _SAID:
        found = pattern.fullmatch(said)
        if found is not None and found["id"] == asked.kernel_id:
            yield ManagerAct(
                at=at(), manager=MANAGER, did=did, kernel_id=asked.kernel_id, line=shown(said)
            )


def _moment(stamp: str, else_at: datetime, zone: tzinfo) -> datetime:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):  # a thirteenth month, or a year that no zone reaches
        return else_at


def _reason(lines: list[str]) -> str:
    """Why a Python ended, by its last words; a module that hides another is the deeper reason."""
    for index in range(len(lines) - 1, 0, -1):
        found = _FRAME.fullmatch(lines[index])
        if found is not None and _hides(found["folder"], found["module"], lines[index - 2 : index]):
            return f"{found['module']}.py hides Python's own module of that name"
    for line in reversed(lines):
        for pattern, words in _LAST_WORDS:
            said = pattern.fullmatch(line)
            if said is not None:
                return words.format(**said.groupdict())
    return ""


def _hides(folder: str, module: str, before: list[str]) -> bool:
    """Somebody imported Python's own by its plain name, and got a file that is elsewhere."""
    if module not in sys.stdlib_module_names or _PYTHONS_OWN.search(folder):
        return False
    return any(found["module"] == module for line in before if (found := _IMPORT.fullmatch(line)))
