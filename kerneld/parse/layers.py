"""The wrappings of a line that were found so far to its Entry, and how far they are believed."""

from dataclasses import dataclass

from kerneld.model.vocabulary import Trust
from kerneld.parse.entry import Entry
from kerneld.parse.stamps import Stamp


@dataclass(slots=True)
class Layers:
    """The wrappings found so far, as an Entry has them; `is_done`: no further one may follow.

    Its fields are Entry's once more: a frozen Entry that was replaced for each wrapping took 2.2 times
    as long (3.3 µs became 7.3 for `[   12.345678] …`).
    """

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
    is_done: bool = False
    is_copied: bool = False

    @property
    def is_outermost(self) -> bool:
        """Nothing stands before but grep's or a quote's marks: only there is a priority believed.

        Behind a date, in a container's output or in JSON an application may have written it.
        """
        return not self.shape and not self.is_copied

    @property
    def trusted(self) -> Trust:
        return Trust.KERNEL if self.is_outermost else Trust.TEXT

    def add(self, shape: str, **more: object) -> None:
        self.shape += shape
        for name, value in more.items():
            setattr(self, name, value)

    def entry(self, text: str) -> Entry:
        if self.trust is Trust.KERNEL and self.identifier is None and not self.escaped:
            # util-linux's `dmesg -r` printed <3> for a record of facility 1: its <N> is a level only
            self.trust, self.facility = Trust.TEXT, self.facility or None
        return Entry(
            text, self.shape, self.stamp, self.uptime_s, self.level, self.facility, self.caller,
            self.host, self.identifier, self.identifier_pid, self.trust, self.escaped, self.partial,
        )  # fmt: skip

    def take(self, entry: Entry) -> None:
        """All that a record of JSON says; a date that stands before it is kept where it has none."""
        believed = self.trusted
        for name in entry.__slots__:
            value = getattr(entry, name)
            if name != "text" and value is not None:
                setattr(self, name, value)
        if believed is Trust.TEXT:
            self.trust = believed
