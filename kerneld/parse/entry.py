"""What stands around a message of the log: one frozen Entry for a line of whatever wrapping."""

from dataclasses import dataclass

from kerneld.model.vocabulary import Trust
from kerneld.parse.stamps import Stamp

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "security", "console", "clock", *(f"local{number}" for number in range(8)),
)  # fmt: skip

NOT_LINUX = "kernel[]"
"""whoever logs under Linux's name without being it"""
LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
"""as util-linux names them, by their numbers"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, and what its line says beside it; None where the line does not say.

    shape: which wrappings were found, in their order; "" for a bare line. identifier: who speaks,
    `kernel` for Linux itself. level, facility: as numbers, where the line may be believed to know
    them (trust KERNEL) or denies that Linux speaks (facility other than 0).
    escaped: the text has /dev/kmsg's `\\xNN`.
    partial: the next line of the same wrapping goes on with it.
    """

    text: str
    shape: str = ""
    stamp: Stamp | None = None
    uptime_s: float | None = None
    level: int | None = None
    facility: int | None = None
    caller: str | None = None
    host: str | None = None
    identifier: str | None = None
    identifier_pid: int | None = None
    trust: Trust = Trust.TEXT
    escaped: bool = False
    partial: bool = False

    @property
    def is_bare(self) -> bool:
        """Nothing tells when or by whom it was written."""
        return not self.shape

    @property
    def is_linux(self) -> bool:
        """Linux itself speaks, as far as the line tells."""
        return self.identifier in (None, "kernel")

    @property
    def is_record(self) -> bool:
        """A whole record of Linux's or the journal's, whatever its text holds."""
        return self.escaped or self.shape[:1] == "J" or self.shape in ("jp", "jx")


@dataclass(frozen=True, slots=True)
class Line:
    """An Entry, and the number of its line in the file. is_doubted: see kerneld.parse.belief."""

    entry: Entry
    number: int
    is_doubted: bool = False


def facility_number(name: str) -> int:
    """`kern` is 0; a name that is not known is no facility of Linux."""
    return FACILITIES.index(name) if name in FACILITIES else 1
