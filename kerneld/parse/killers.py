"""What other daemons log of the processes they killed or saw die, by the name they log under.

systemd-oomd, earlyoom and nohang kill for memory; systemd-coredump tells who dumped core. Each line
counts only from the daemon that writes it: an application may print the same words.
"""

import re
from dataclasses import dataclass, field

from kerneld.model.records import LogEvent
from kerneld.parse.fault_table import SIGNALS
from kerneld.parse.kmsg_text import COMM, Message, Origin

MAX_TOLD = 1024
"""signals that were told that are remembered, so that a second line of one is no second event"""
SAME_S = 60.0
"""between two lines of one signal to one process: a daemon repeats it until the process is gone"""

_PID = r"(?P<pid>[0-9]{1,10})"
_CUT = r"(?:>|…|\.{3})"
_SIGNAL = r"(?:(?P<signal_name>SIG[A-Z0-9+]{2,9})|(?P<signal>[0-9]{1,2}))"

# src/oom/oomd-manager.c, from 247; "Marked … for killing" asks for it and is no kill
OOMD = (
    re.compile(r"Killed (?P<cgroup>/.{0,4096}?) due to (?:memory|swap|pressure)\b.{0,400}", re.DOTALL),
    re.compile(rf"Killed /.{{0,4096}}{_CUT}", re.DOTALL),
)
# kill.c kill_largest_process and userspace_kill: 1.0 and 1.1; 1.2; from 1.3; from 1.4 with the uid
EARLYOOM = (
    re.compile(
        rf"[Kk]illing process '{COMM}' with signal {_SIGNAL}, pid: {_PID}, badness: .*", re.DOTALL
    ),
    re.compile(
        rf"[Kk]illing process {_PID} \"?{COMM}\"?(?: with signal {_SIGNAL})?: badness .*", re.DOTALL
    ),
    re.compile(rf"[Kk]illing process {_PID} {COMM}", re.DOTALL),
    re.compile(
        rf"sending {_SIGNAL} to process {_PID} (?:uid (?P<uid>[0-9]{{1,10}}) )?\"{COMM}\": "
        r"(?:badness|oom_score) .*",
        re.DOTALL,
    ),
    re.compile(
        rf"sending {_SIGNAL} to process {_PID} (?:uid (?P<uid>[0-9]{{1,10}}) )?(?:\".{{0,40}})?{_CUT}",
        re.DOTALL,
    ),
)
# src/coredump/coredump.c submit_coredump: "of user" from 23x, the signal from 258; "Resource limits
# disable core dumping for process …" stands before the same line and tells less
COREDUMP = (
    re.compile(
        rf"(?:\[\S{{1,4}}\] {{1,2}}|\S )?Process {_PID} \({COMM}\)(?: of user (?P<uid>[0-9]{{1,10}}))? "
        r"(?:dumped core|terminated abnormally with signal (?P<signal>[0-9]{1,3})/[A-Z0-9+]{1,9}"
        r"|terminated abnormally without generating a coredump).*",
        re.DOTALL,
    ),
)
# system/lmkd, whose tag is lowmemorykiller
LMKD = (
    re.compile(
        rf"Kill(?:ing)? '(?P<comm>[^']{{1,200}})' \({_PID}\)(?: \(tgid [0-9]{{1,10}}\))?,? "
        r"(?:uid (?P<uid>[0-9]{1,10}),? )?(?:oom_(?:score_)?)?adj -?[0-9]{1,5}.*",
        re.DOTALL,
    ),
)
_ROWS = {
    "systemd-oomd": ("oomd", OOMD),
    "earlyoom": ("earlyoom", EARLYOOM),
    "systemd-coredump": ("coredump", COREDUMP),
    "lowmemorykiller": ("other", LMKD),
}

# src/nohang: the victim is described in lines of their own before it is killed
_VICTIM_ROW = re.compile(
    rf"PID: +{_PID}(?:, [nN]ame: +(?P<comm>.{{1,15}}?)(?:, (?:state|badness): .*)?)?", re.DOTALL
)
_VICTIM_EUID = re.compile(r".*, EUID: (?P<uid>[0-9]{1,10}),.*", re.DOTALL)
_VICTIM_NAME = re.compile(r"Name: +(?P<comm>.{1,15})", re.DOTALL)
_VICTIM_UID = re.compile(r"E?UID: +(?P<uid>[0-9]{1,10})")
_CACHED = re.compile(
    r"New victim is cached victim (?P<pid>[0-9]{1,10}) \((?P<comm>.{1,15})\)", re.DOTALL
)
_ACTION = re.compile(
    rf"(?:Send(?:ing)? {_SIGNAL} to the victim(?:;.*|\.{{3}}.*)?"
    r"|(?:Try to s|S)end(?:ing)? (?:the )?(?P<signal_of_old>SIG[A-Z]{3,4})(?: signal)? to .*)",
    re.DOTALL,
)


@dataclass(slots=True)
class Killers:
    """Messages of daemons, one at a time, to events: each signal to a process is told once."""

    _victim: dict[str, object] = field(default_factory=dict)
    _rehearsed: list[LogEvent] = field(default_factory=list)
    _told: dict[tuple[str, int, object], Origin] = field(default_factory=dict)

    def feed(self, identifier: str, message: Message) -> list[LogEvent]:
        """identifier: the name that the message was logged under."""
        if identifier.startswith("nohang"):
            return self._nohang(message)
        if identifier == "earlyoom":
            return self._earlyoom(message)
        return self._by_rows(identifier, message)

    def flush(self) -> list[LogEvent]:
        """The kill that waited for the line that might call it a rehearsal."""
        waiting, self._rehearsed = self._rehearsed, []
        return waiting

    def _earlyoom(self, message: Message) -> list[LogEvent]:
        """With --dryrun it says so in the line behind the kill that it did not do."""
        if message.text.startswith("dryrun"):
            self._rehearsed = []
            return []
        told, self._rehearsed = self._rehearsed, self._by_rows("earlyoom", message)
        return told

    def _by_rows(self, identifier: str, message: Message) -> list[LogEvent]:
        kind, patterns = _ROWS.get(identifier, ("", ()))
        for pattern in patterns:
            found = pattern.fullmatch(message.text)
            if found is not None:
                return self._once(kind, _fields(found, message), message)
        return []

    def _nohang(self, message: Message) -> list[LogEvent]:
        said = message.text.strip()
        for pattern in (_VICTIM_ROW, _VICTIM_NAME, _VICTIM_UID, _CACHED):
            if (found := pattern.fullmatch(said)) is not None:
                if "pid" in pattern.groupindex:
                    self._victim = {k: v for k, v in self._victim.items() if k != "pid"}
                self._victim |= _fields(found, message)
                if (owner := _VICTIM_EUID.fullmatch(said)) is not None:
                    self._victim["uid"] = int(owner["uid"])
                return []
        found = _ACTION.fullmatch(said)
        if found is None:
            return []
        victim, self._victim = self._victim, {}
        return self._once("nohang", victim | _fields(found, message), message)

    def _once(self, kind: str, fields: dict[str, object], message: Message) -> list[LogEvent]:
        pid = fields.get("pid")
        if isinstance(pid, int):
            key = (kind, pid, fields.get("signal"))
            last = self._told.pop(key, None)
            self._told[key] = message.origin
            if len(self._told) > MAX_TOLD:
                del self._told[next(iter(self._told))]
            if last is not None and _is_soon(last, message.origin):
                return []
        return [message.event({"kind": kind, **fields})]


def _is_soon(last: Origin, now: Origin) -> bool:
    """Where no clock tells, two lines of one signal are one event."""
    if last.time is not None and now.time is not None:
        return abs((now.time - last.time).total_seconds()) < SAME_S
    if last.uptime_s is not None and now.uptime_s is not None:
        return abs(now.uptime_s - last.uptime_s) < SAME_S
    return True


def _fields(found: re.Match[str], message: Message) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, text in found.groupdict().items():
        if text is None:
            continue
        if name in ("comm", "cgroup"):
            fields[name] = message.name(text)
        elif name in ("signal_name", "signal_of_old"):
            fields["signal"] = SIGNALS.get(text)
        else:
            fields[name] = int(text)
    return fields
