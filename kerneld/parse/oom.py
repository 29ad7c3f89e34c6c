"""The messages of one OOM report, in the order Linux prints them, to an event a victim.

mm/oom_kill.c and mm/memcontrol.c print all of it under oom_lock, so one report stands open at a
time; a report's details are given only to the victim that its own lines name.
"""

import re
from dataclasses import dataclass, field

from kerneld.model.facts import LogEvent
from kerneld.model.vocabulary import Trust
from kerneld.parse.kmsg_text import COMM, Message
from kerneld.parse.oom_table import TaskTable

ERROR, WARNING, INFO = 3, 4, 6

_SIZE = r"[0-9]{1,18}"
_WHAT = (
    r"(?P<what>Out of [Mm]emory(?: \(oom_kill_allocating_task\))?"
    r"|(?P<memcg>Memory cgroup out of memory)(?: \(oom_kill_allocating_task\))?)"
)
# dump_header, 2.6 to 6.x
_INVOKED = re.compile(
    rf"{COMM} invoked oom-killer: gfp_mask=0x[0-9a-f]+(?:\([^()]{{0,400}}\))?,.{{0,300}}", re.DOTALL
)
# dump_oom_summary, from 5.0; a cgroup's name may hold commas: what names the victim stands at the end
_SUMMARY = re.compile(
    r"oom-kill:constraint=(?P<constraint>CONSTRAINT_[A-Z_]{1,20}),nodemask=[^=]{1,400},cpuset="
    r"(?P<middle>.*),pid=(?P<pid>[0-9]{1,10}),uid=(?P<uid>[0-9]{1,10})",
    re.DOTALL,
)
# mem_cgroup_print_oom_info, before 5.0
_TASK_IN = re.compile(
    r"Task in (?P<cgroup>.*) killed as a result of limit of (?P<oom_cgroup>.*)", re.DOTALL
)
# mem_cgroup_print_oom_group, from 4.19
_GROUP = re.compile(
    r"Tasks in (?P<group>.*) are going to be killed due to memory\.oom\.group set", re.DOTALL
)
# oom_kill_process, to 5.x: "or a child" to 2.6.39; the one that dies is in the next line
_SCORED = re.compile(
    rf"{_WHAT}: [Kk]ill process (?P<pid>[0-9]{{1,10}}) \({COMM}\),? score [0-9]+ or "
    r"(?:sacrifice |a )child",
    re.DOTALL,
)
# __oom_kill_process; the head from 5.0, shmem-rss from 4.5, UID and oom_score_adj from 5.4;
# RHEL 6 has ", UID n, " before the name, RHEL 7.6 behind it; 2.4 ends the bare line with a stop
_KILLED = re.compile(
    rf"(?:{_WHAT}: )?Killed process (?P<pid>[0-9]{{1,10}})(?:, UID (?P<uid_a>[0-9]{{1,10}}),)? "
    rf"\({COMM}\)(?:\.|,? ?(?:UID (?P<uid_b>[0-9]{{1,10}}), )?"
    rf"(?:total-vm|vsz):(?P<total_vm_kb>{_SIZE})kB, anon-rss:(?P<anon_rss_kb>{_SIZE})kB"
    rf"(?:, file-rss:(?P<file_rss_kb>{_SIZE})kB)?(?:, shmem-rss:(?P<shmem_rss_kb>{_SIZE})kB)?"
    rf"(?:, UID:(?P<uid_c>[0-9]{{1,10}}) pgtables:{_SIZE}kB"
    r" oom_score_adj:(?P<oom_score_adj>-?[0-9]{1,5}))?)?",
    re.DOTALL,
)
_SKIPPED = re.compile(rf"{_WHAT}: OOM victim [0-9]+ \({COMM}\) is already exiting.*", re.DOTALL)
_NUMBERS = (
    "total_vm_kb", "anon_rss_kb", "file_rss_kb", "shmem_rss_kb", "oom_score_adj",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Summary:
    """The oom-kill: line, and where it stands."""

    message: Message
    pid: int
    uid: int
    constraint: str
    middle: str

    def fields(self, comm: str | None) -> dict[str, object]:
        """Constraint and cgroups. comm: as the kill line has it, which settles a name's commas."""
        cgroup, oom_cgroup, _ = _cgroups(self.middle, comm, self.constraint)
        name = self.message.name
        return {
            "constraint": self.constraint,
            "uid": self.uid,
            "cgroup": name(cgroup) if cgroup else None,
            "oom_cgroup": name(oom_cgroup) if oom_cgroup else None,
        }


def _cgroups(
    middle: str, comm: str | None, constraint: str
) -> tuple[str | None, str | None, str | None]:
    """(task_memcg, oom_memcg, task) of `CPUSET,mems_allowed=…,…,task_memcg=…,task=COMM`.

    Of several ways to split at `,task_memcg=` the one where the task is below the limit counts.
    """
    tail = f",task={comm}"
    if comm is not None and middle.endswith(tail):
        head = middle.removesuffix(tail)
    else:
        head, found, comm = middle.rpartition(",task=")
        if not found:
            return None, None, None
    _, _, scope = head.partition(",mems_allowed=")
    _, marked, owner = scope.partition(",oom_memcg=")
    if constraint != "CONSTRAINT_MEMCG" or not marked:
        return scope.partition(",task_memcg=")[2] or None, None, comm
    parts = owner.split(",task_memcg=")
    ways = [
        (",task_memcg=".join(parts[:i]), ",task_memcg=".join(parts[i:])) for i in range(1, len(parts))
    ]
    below = [
        (limit, task)
        for limit, task in ways
        if task == limit or task.startswith(f"{limit.rstrip('/')}/")
    ]
    limit, task = (below or ways or [(owner, "")])[0]
    return task or None, limit, comm


@dataclass(slots=True)
class OomReport:
    """One report being read. feed(message) gives the events that the message completes.

    page_kb: the table counts pages. Everything else starts anew with the next report.
    """

    page_kb: int = 4
    _invoker: str | None = None
    _table: TaskTable = field(default_factory=TaskTable)
    _summary: _Summary | None = None
    _task_in: tuple[str, str] | None = None
    _scored: tuple[Message, dict[str, object]] | None = None
    _told: dict[str, object] = field(default_factory=dict)
    _victim: int | None = None
    _closed: bool = False
    _group: bool = False

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
        if self._group and not _SKIPPED.fullmatch(text) and not text.startswith("oom_reaper:"):
            self._group = False
        return None

    def unresolved(self) -> list[LogEvent]:
        """Victims that only an announcement names: a log of text may lack the line of the kill.

        A log whose levels are known is whole: there the announcement alone proves nothing.
        """
        event: list[LogEvent] = []
        if self._summary and self._summary.message.trust is Trust.TEXT:
            event = [self._from_summary(self._summary)]
        elif self._scored and self._scored[0].trust is Trust.TEXT:
            message, fields = self._scored
            event = [message.event(self._details(int(str(fields["pid"]))) | fields)]
        self._scored = self._summary = None
        return event

    def _from_summary(self, summary: _Summary) -> LogEvent:
        comm = _cgroups(summary.middle, None, summary.constraint)[2]
        memcg = summary.constraint == "CONSTRAINT_MEMCG"
        details = self._details(summary.pid)
        name = summary.message.name(comm) if comm is not None else None
        kind = "oom_memcg" if memcg else "oom_global"
        return summary.message.event(
            details | summary.fields(comm) | {"kind": kind, "pid": summary.pid, "comm": name}
        )

    def _read_invoked(self, message: Message) -> list[LogEvent] | None:
        found = _INVOKED.fullmatch(message.text)
        if found is None or message.level not in (None, WARNING):
            return None
        left = self.unresolved()
        self._invoker = message.name(found["comm"])
        self._table, self._task_in, self._told = TaskTable(), None, {}
        self._closed = self._group = False
        return left

    def _read_table(self, message: Message) -> list[LogEvent] | None:
        if message.level not in (None, INFO) or self._closed or not self._table.feed(message):
            return None
        return []

    def _read_summary(self, message: Message) -> list[LogEvent] | None:
        found = _SUMMARY.fullmatch(message.text)
        if found is None or message.level not in (None, INFO):
            return None
        left = self.unresolved() if self._summary else []
        if self._closed:
            self._forget()
        self._summary = _Summary(
            message, int(found["pid"]), int(found["uid"]), found["constraint"], found["middle"]
        )
        return left

    def _read_cgroup(self, message: Message) -> list[LogEvent] | None:
        if message.level not in (None, INFO):
            return None
        if (killed := _TASK_IN.fullmatch(message.text)) is not None:
            self._task_in = (message.name(killed["cgroup"]), message.name(killed["oom_cgroup"]))
            return []
        if _GROUP.fullmatch(message.text) is None:
            return None
        self._group = self._closed
        return []

    def _read_scored(self, message: Message) -> list[LogEvent] | None:
        found = _SCORED.fullmatch(message.text)
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
        found = _KILLED.fullmatch(message.text)
        if found is None or message.level not in (None, ERROR):
            return None
        pid = int(found["pid"])
        left: list[LogEvent] = []
        member = self._group and self._closed
        if member and pid == self._victim:
            return []
        if not member and (self._closed or (self._summary and self._summary.pid != pid)):
            left = self.unresolved()
            self._forget()
        fields = dict(self._told) if member else self._details(pid)
        if self._summary and not member:
            fields |= self._summary.fields(found["comm"])
        announced = self._scored[1]["kind"] if self._scored else None
        in_memcg = found["memcg"] or fields.get("oom_cgroup") or announced == "oom_memcg"
        fields |= {
            "kind": "oom_memcg" if in_memcg else "oom_global",
            "pid": pid,
            "comm": message.name(found["comm"]),
        }
        fields |= {name: int(found[name]) for name in _NUMBERS if found[name]}
        uid = found["uid_a"] or found["uid_b"] or found["uid_c"]
        if uid is not None:
            fields["uid"] = int(uid)
        if not member:
            self._close(pid, fields)
        return [*left, message.event(fields)]

    def _details(self, pid: int) -> dict[str, object]:
        """What the report says of its victim beside the line of the kill."""
        fields: dict[str, object] = {
            "invoker_comm": self._invoker,
            "top": self._table.largest(self.page_kb),
        }
        if self._task_in:
            fields["cgroup"], fields["oom_cgroup"] = self._task_in
        own = self._table.row_of(pid)
        if own is not None:
            fields |= {"uid": own.uid, "oom_score_adj": own.oom_score_adj}
        return fields

    def _close(self, pid: int, fields: dict[str, object]) -> None:
        """Keep what the members of a memory.oom.group share with their first; drop the table."""
        shared = ("invoker_comm", "top", "constraint", "oom_cgroup")
        self._told = {name: fields[name] for name in shared if name in fields}
        self._victim, self._closed, self._group = pid, True, False
        self._summary = self._scored = None
        self._table = TaskTable()

    def _forget(self) -> None:
        """The next victim has no report of its own: dump_header is rate-limited."""
        self._invoker, self._table = None, TaskTable()
        self._summary = self._task_in = self._scored = None
        self._told, self._closed, self._group = {}, False, False
