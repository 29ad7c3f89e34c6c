"""The task table of an OOM report to its largest rows, whatever columns its Linux prints."""

import heapq
import re
from dataclasses import dataclass, field

from kerneld.model.facts import TaskRow
from kerneld.parse.kmsg_text import COMM, Message

TOP_ROWS = 10
MAX_ROWS = 32_768
"""the default of kernel.pid_max: a longer table is cut"""

# mm/oom_kill.c dump_tasks: nr_ptes from 3.10, nr_pmds 4.1 to 4.14, pgtables_bytes from 4.15,
# rss_anon, rss_file and rss_shmem from 6.8; "cpu oom_adj" in 2.6
_HEAD = re.compile(r"\[ *pid *\] +uid +tgid +total_vm +rss +(?P<more>[a-z_ ]{1,120} )?name *")
_NUMBER = r" +-?[0-9]{1,18}"


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the table, its memory in pages. pid: the process, not the thread."""

    rss_pages: int
    pid: int
    uid: int
    oom_score_adj: int | None
    comm: str


@dataclass(slots=True)
class TaskTable:
    """The rows seen so far; the names of the columns tell how many numbers stand before the name."""

    tasks: list[Task] = field(default_factory=list)
    _columns: tuple[str, ...] = ()
    _row: re.Pattern[str] | None = None

    def feed(self, message: Message) -> bool:
        """Whether the message is part of the table."""
        head = _HEAD.fullmatch(message.text)
        if head is not None:
            self._columns = ("uid", "tgid", "total_vm", "rss", *(head["more"] or "").split())
            numbers = f"(?P<numbers>(?:{_NUMBER}){{{len(self._columns)}}})"
            self._row = re.compile(rf"\[ *[0-9]{{1,10}}\]{numbers} {COMM} *", re.DOTALL)
            return True
        found = self._row.fullmatch(message.text) if self._row else None
        if found is None or len(self.tasks) >= MAX_ROWS:
            return False
        values = dict(zip(self._columns, map(int, found["numbers"].split()), strict=True))
        self.tasks.append(
            Task(
                rss_pages=values["rss"],
                pid=values["tgid"],
                uid=values["uid"],
                oom_score_adj=values.get("oom_score_adj"),
                comm=message.name(found["comm"]),
            )
        )
        return True

    def largest(self, page_kb: int) -> tuple[TaskRow, ...]:
        biggest = heapq.nlargest(TOP_ROWS, self.tasks, key=lambda task: task.rss_pages)
        return tuple(
            TaskRow(pid=t.pid, comm=t.comm, uid=t.uid, rss_kb=t.rss_pages * page_kb) for t in biggest
        )

    def row_of(self, pid: int) -> Task | None:
        return next((task for task in self.tasks if task.pid == pid), None)
