"""The messages of one OOM report, in the order Linux prints them, to an event a victim.

mm/oom_kill.c and mm/memcontrol.c print all of it under oom_lock, so one report stands open at a
time; a report's details are given only to the victim that its own lines name.
"""

import re
from dataclasses import dataclass, field

from kerneld.model.records import LogEvent, MemoryTotals
from kerneld.parse import oom_lines
from kerneld.parse.kmsg_text import Message
from kerneld.parse.oom_lines import ERROR, INFO, WARNING, Summary, split_cgroups
from kerneld.parse.oom_table import Task, TaskTable

PAGE_SIZES_KB = (4, 16, 64)
_SHARED = (
    "invoker_comm", "invoker_pid", "invoker", "top", "totals", "constraint", "oom_cgroup",
    "is_asked_for",
)  # fmt: skip
_NUMBERS = {name: name for name in oom_lines.NUMBERS} | dict.fromkeys(
    ("uid_a", "uid_b", "uid_c"), "uid"
)


@dataclass(slots=True)
class OomReport:
    """One report being read. feed(message) gives the events that the message completes.

    page_kb: the table counts pages; None: told by the victim's row, which its kill line has in kB.
    Everything else starts anew with the next report.
    """

    page_kb: int | None = 4
    _invoker: str | None = None
    _invoker_pid: int | None = None
    _table: TaskTable = field(default_factory=TaskTable)
    _totals: dict[str, int] = field(default_factory=dict)
    _summary: Summary | None = None
    _task_in: tuple[str, str] | None = None
    _scored: tuple[Message, dict[str, object]] | None = None
    _told: dict[str, object] = field(default_factory=dict)
    _victim: int | None = None
    _closed: bool = False
    _group: str | None = None
    _is_asked_for: bool = False
    _sysrq: bool = False

    @property
    def is_open(self) -> bool:
        """A report has begun, its victim is not named yet."""
        begun = self._invoker is not None or self._table.tasks or self._scored or self._summary
        return bool(begun) and not self._closed

    def feed(self, message: Message) -> list[LogEvent] | None:
        """None: the message is none of an OOM report."""
        text = message.text
        if "illed process " in text:
            return self._read_killed(message)
        if " invoked oom-killer: " in text:
            return self._read_invoked(message)
        if text.startswith("["):
            return self._read_table(message)
        if text.startswith("oom-kill:"):
            return self._read_summary(message)
        if text.startswith("Task"):
            return self._read_cgroup(message)
        if "ill process " in text:
            return self._read_scored(message)
        if oom_lines.SYSRQ.fullmatch(text) is not None and message.level in (None, INFO):
            self._sysrq = True
        if self._invoker is not None and not self._closed:
            self._read_totals(message)
        if "is already exiting" in text and oom_lines.SKIPPED.fullmatch(text) is not None:
            self._summary = self._scored = None  # it ends by itself: Linux kills nobody
        elif not text.startswith("oom_reaper:"):
            self._group = None
        return None

    def unresolved(self) -> list[LogEvent]:
        """Victims that only an announcement names: an excerpt may lack the line of the kill.

        A log that is whole always has that line: there the announcement alone proves nothing.
        """
        event: list[LogEvent] = []
        if self._summary and self._summary.message.is_excerpt:
            event = self._from_summary(self._summary)
        elif self._scored and self._scored[0].is_excerpt:
            message, fields = self._scored
            event = [message.event(self._details(int(str(fields["pid"]))) | fields)]
        self._scored = self._summary = None
        return event

    def _from_summary(self, summary: Summary) -> list[LogEvent]:
        if summary.pid is None:
            return []
        comm = split_cgroups(summary.middle, None, summary.constraint)[2]
        memcg = summary.constraint == "CONSTRAINT_MEMCG"
        details = self._details(summary.pid)
        name = summary.message.name(comm) if comm is not None else None
        kind = "oom_memcg" if memcg else "oom_global"
        told = details | summary.fields(comm) | {"kind": kind, "pid": summary.pid, "comm": name}
        return [summary.message.event(told)]

    def _read_invoked(self, message: Message) -> list[LogEvent] | None:
        found = oom_lines.INVOKED.fullmatch(message.text)
        if found is None or message.level not in (None, WARNING):
            return None
        left = self.unresolved()
        self._forget()
        self._invoker = message.name(found["comm"])
        self._is_asked_for, self._sysrq = self._sysrq or found["order"] == "-1", False
        return left

    def _read_totals(self, message: Message) -> None:
        """How full the cgroup or the machine was, and the pid of whoever asked."""
        if message.level not in (None, INFO, WARNING, ERROR):
            return
        if self._invoker_pid is None:
            for asker in oom_lines.ASKER:
                if (found := asker.fullmatch(message.text)) is not None:
                    self._invoker_pid = int(found["pid"])
                    return
        for pattern in oom_lines.TOTALS:
            if (found := pattern.fullmatch(message.text)) is not None:
                self._totals |= {name: int(text) for name, text in found.groupdict().items()}
                return

    def _read_table(self, message: Message) -> list[LogEvent] | None:
        if message.level not in (None, INFO) or self._closed or not self._table.feed(message):
            return None
        return []

    def _read_summary(self, message: Message) -> list[LogEvent] | None:
        found = oom_lines.SUMMARY.fullmatch(message.text)
        summary: Summary | None = None
        if found is not None:
            pid, uid = int(found["pid"]), int(found["uid"])
            summary = Summary(message, pid, uid, found["constraint"], found["middle"])
        elif message.is_excerpt and (found := oom_lines.SUMMARY_CUT.fullmatch(message.text)):
            summary = Summary(message, None, None, found["constraint"], "")
        if summary is None or message.level not in (None, INFO):
            return None
        left = self.unresolved() if self._summary else []
        if self._closed:
            self._forget()
        self._summary = summary
        return left

    def _read_cgroup(self, message: Message) -> list[LogEvent] | None:
        if message.level not in (None, INFO):
            return None
        if (killed := oom_lines.TASK_IN.fullmatch(message.text)) is not None:
            self._task_in = (message.name(killed["cgroup"]), message.name(killed["oom_cgroup"]))
            return []
        if (found := oom_lines.GROUP.fullmatch(message.text)) is None:
            return None
        self._group = message.name(found["group"]) if self._closed else None
        return []

    def _read_scored(self, message: Message) -> list[LogEvent] | None:
        found = oom_lines.SCORED.fullmatch(message.text)
        if found is None or message.level not in (None, ERROR):
            return None
        left = self.unresolved() if self._scored else []
        if self._closed:
            self._forget()
        kind = "oom_memcg" if found["memcg"] else "oom_global"
        comm = message.name(found["comm"])
        self._scored = (message, {"kind": kind, "pid": int(found["pid"]), "comm": comm})
        return left

    def _read_killed(self, message: Message) -> list[LogEvent] | None:
        found = oom_lines.KILLED.fullmatch(message.text)
        if found is None and message.is_excerpt:
            found = oom_lines.KILLED_CUT.fullmatch(message.text)
        if found is None or message.level not in (None, ERROR):
            return None
        pid = int(found["pid"])
        left: list[LogEvent] = []
        member = self._group is not None and self._closed
        if member and pid == self._victim:
            return []
        if not member and (self._closed or (self._summary and self._summary.pid not in (None, pid))):
            left = self.unresolved()
            self._forget()
        printed = _printed(found, message)
        if member:
            fields = self._told | {"cgroup": self._group, "has_group": True}
        else:
            fields = self._details(pid, printed)
        if self._summary and not member:
            fields |= self._summary.fields(found["comm"])
        announced = self._scored[1]["kind"] if self._scored else None
        of_cgroup = found["memcg"] or fields.get("oom_cgroup") or "limit_kb" in self._totals
        in_memcg = of_cgroup or announced == "oom_memcg"
        fields |= printed | {"kind": "oom_memcg" if in_memcg else "oom_global", "pid": pid}
        if not member:
            self._close(pid, fields)
        return [*left, message.event(fields)]

    def _details(self, pid: int, printed: dict[str, object] | None = None) -> dict[str, object]:
        """What the report says of its victim beside the line of the kill."""
        if self._invoker is None and not (self._table.tasks or self._totals or self._task_in):
            return {}
        own = self._table.row_of(pid)
        page_kb = self.page_kb or _page_kb(own, _resident_kb(printed or {}))
        fields: dict[str, object] = {
            "invoker_comm": self._invoker,
            "invoker_pid": self._invoker_pid,
            "invoker": self._table.told(self._invoker_pid, page_kb),
            "top": self._table.largest(page_kb),
            "totals": self._memory_totals(page_kb),
            "is_asked_for": self._is_asked_for,
        }
        if self._task_in:
            fields["cgroup"], fields["oom_cgroup"] = self._task_in
        if own is not None:
            fields |= {"uid": own.uid, "oom_score_adj": own.oom_score_adj, "process_pid": own.pid}
        return fields

    def _memory_totals(self, page_kb: int) -> MemoryTotals | None:
        if not self._totals:
            return None
        told = dict(self._totals)
        pages = told.pop("ram_pages", None)
        return MemoryTotals(**told, ram_kb=None if pages is None else pages * page_kb)

    def _close(self, pid: int, fields: dict[str, object]) -> None:
        """Keep what the members of a memory.oom.group share with their first; drop the table."""
        self._told = {name: fields[name] for name in _SHARED if name in fields}
        self._victim, self._closed, self._group = pid, True, None
        self._summary = self._scored = None
        self._table.clear()

    def _forget(self) -> None:
        """The next victim has no report of its own: dump_header is rate-limited."""
        self._invoker = self._invoker_pid = None
        self._table.clear()
        self._totals = {}
        self._summary = self._task_in = self._scored = None
        self._told, self._closed, self._group = {}, False, None
        self._is_asked_for = False


def _printed(found: re.Match[str], message: Message) -> dict[str, object]:
    """The fields that the line of the kill prints."""
    comm = found["comm"]
    fields: dict[str, object] = {"comm": None if comm is None else message.name(comm)}
    for name, text in found.groupdict().items():
        if text is not None and name in _NUMBERS:
            fields[_NUMBERS[name]] = int(text)
    return fields


def _resident_kb(printed: dict[str, object]) -> int | None:
    parts = [printed.get(name) for name in ("anon_rss_kb", "file_rss_kb", "shmem_rss_kb")]
    sizes = [size for size in parts if isinstance(size, int)]
    return sum(sizes) if sizes else None


def _page_kb(own: Task | None, resident_kb: int | None) -> int:
    """The page size by which the victim's row and its kill line agree; 4 kB where nothing tells."""
    if own is None or resident_kb is None or own.rss_pages < 64:
        return PAGE_SIZES_KB[0]
    return min(PAGE_SIZES_KB, key=lambda size_kb: abs(own.rss_pages * size_kb - resident_kb))
