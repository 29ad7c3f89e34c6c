"""The task table of an OOM report to its largest rows, whatever columns its Linux prints."""

import heapq
import re
from dataclasses import dataclass, field

from kerneld.model.records import TaskRow
from kerneld.parse.kmsg_text import COMM, Message

TOP_ROWS = 10
MAX_ROWS = 32_768
"""the default of kernel.pid_max: a longer table is cut"""

# mm/oom_kill.c dump_tasks: nr_ptes from 3.10, nr_pmds 4.1 to 4.14, pgtables_bytes from 4.15,
# rss_anon, rss_file and rss_shmem from 6.8; "cpu oom_adj" in 2.6
_HEAD = re.compile(r"\[ *pid *\] +uid +tgid +total_vm +rss +(?P<more>[a-z_ ]{1,120} )?name *")
_NUMBER = r" +-?[0-9]{1,18}"
_HEADLESS = re.compile(
    rf"\[ *[0-9]{{1,10}}\](?P<numbers>(?:{_NUMBER}){{6,10}}) [^ 0-9-].{{0,60}}", re.DOTALL
)
_FIRST = ("uid", "tgid", "total_vm", "rss")
_COLUMNS = {
    6: (*_FIRST, "cpu", "oom_adj"),
    7: (*_FIRST, "pgtables", "swapents", "oom_score_adj"),
    8: (*_FIRST, "nr_ptes", "nr_pmds", "swapents", "oom_score_adj"),
    10: (*_FIRST, "rss_anon", "rss_file", "rss_shmem", "pgtables", "swapents", "oom_score_adj"),
}


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the table, its memory in pages. tid: its thread that still has the memory."""

    rss_pages: int
    pid: int
    tid: int
    uid: int
    oom_score_adj: int | None
    comm: str

    def told(self, page_kb: int) -> TaskRow:
        return TaskRow(pid=self.pid, comm=self.comm, uid=self.uid, rss_kb=self.rss_pages * page_kb)


@dataclass(slots=True)
class TaskTable:
    """The rows seen so far; the names of the columns tell how many numbers stand before the name."""

    tasks: list[Task] = field(default_factory=list)
    _columns: tuple[str, ...] = ()
    _row: re.Pattern[str] | None = None

    def clear(self) -> None:
        """The next table may have other columns."""
        if self._row is not None:
            self.tasks, self._columns, self._row = [], (), None

    def feed(self, message: Message) -> bool:
        """Whether the message is part of the table."""
        head = _HEAD.fullmatch(message.text)
        if head is not None:
            self._use((*_FIRST, *(head["more"] or "").split()))
            return True
        if self._row is None and message.is_excerpt:
            self._guess(message.text)
        found = self._row.fullmatch(message.text) if self._row else None
        if found is None or len(self.tasks) >= MAX_ROWS:
            return False
        values = dict(zip(self._columns, map(int, found["numbers"].split()), strict=True))
        self.tasks.append(
            Task(
                rss_pages=values["rss"],
                pid=values["tgid"],
                tid=int(found["tid"]),
                uid=values["uid"],
                oom_score_adj=values.get("oom_score_adj"),
                comm=message.name(found["comm"]),
            )
        )
        return True

    def _guess(self, text: str) -> None:
        """The columns of a table whose head is missing, by their number; a name that begins with a
        digit would count as one, so none such is taken for the first row."""
        found = _HEADLESS.fullmatch(text)
        columns = _COLUMNS.get(len(found["numbers"].split())) if found else None
        if columns is not None:
            self._use(columns)

    def _use(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        numbers = f"(?P<numbers>(?:{_NUMBER}){{{len(columns)}}})"
        self._row = re.compile(rf"\[ *(?P<tid>[0-9]{{1,10}})\]{numbers} {COMM} *", re.DOTALL)

    def largest(self, page_kb: int) -> tuple[TaskRow, ...]:
        biggest = heapq.nlargest(TOP_ROWS, self.tasks, key=lambda task: task.rss_pages)
        return tuple(task.told(page_kb) for task in biggest)

    def told(self, pid: int | None, page_kb: int) -> TaskRow | None:
        """The row of a process, or of a thread that the table has."""
        task = None if pid is None else self.row_of(pid)
        return task.told(page_kb) if task else None

    def row_of(self, pid: int) -> Task | None:
        """By the process, else by the thread: to 4.x Linux prints the victim's thread."""
        named = next((task for task in self.tasks if task.pid == pid), None)
        return named or next((task for task in self.tasks if task.tid == pid), None)
