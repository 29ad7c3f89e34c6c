"""`kerneld scan`: any Linux log to who was killed, and why; without a daemon."""

import gc
from typing import TYPE_CHECKING, Annotated

import typer

from kerneld.cli.asking import Since, Until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime, tzinfo

    from kerneld.errors import UsageError
    from kerneld.model.records import LogEvent
    from kerneld.scan.asked import Asked, Counts

LARGE_BYTES = 64 << 20
PROGRESS_S = 0.5


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE", show_default=False,
        help="Logs, plain or as .gz, .bz2, .xz, .zst; - or none: standard input.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, one event a line.")]
Zone = Annotated[
    str | None,
    typer.Option(
        "--tz", metavar="ZONE", show_default=False,
        help="The zone of times without one: Europe/Berlin, UTC, +02:00. Default: this machine's.",
    ),
]  # fmt: skip
Pid = Annotated[
    int | None,
    typer.Option(
        "--pid", metavar="N", min=1, show_default=False, help="Only where this process died."
    ),
]  # fmt: skip
Comm = Annotated[
    str | None,
    typer.Option(
        "--comm", metavar="NAME", show_default=False,
        help="Only where one of this name died; Linux cuts names to 15 bytes; * and ? match.",
    ),
]  # fmt: skip
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Then tell each further one as it is written; takes one FILE."
    ),
]  # fmt: skip


def command(
    files: Files = None,
    as_json: AsJson = False,
    since: Since = None,
    until: Until = None,
    tz: Zone = None,
    pid: Pid = None,
    comm: Comm = None,
    follow: Follow = False,
) -> None:
    """Tell from a Linux log who was killed or crashed, and why.

    It reads what dmesg, journalctl (text, JSON, export), syslog files, /dev/kmsg, serial consoles and
    container runtimes print, in whole or in part, pasted, quoted or cut. It needs no recorder.

    Told are kills for memory (Linux's, and those of systemd-oomd, earlyoom and
    nohang), crashes, traps, core dumps, forbidden system calls, broken memory, and
    errors of NVIDIA's graphics processors; with the largest processes at the time.
    Equal crashes in a row are told as one, with their number.

    What is not believed: lines of other programs, records that user space wrote into
    the Linux log, a line without the prefix that its neighbours have, and what may be
    the rest of a name that holds newlines. Text without priorities can be forged all
    the same: "trust" in the JSON says `kernel` where priorities show that Linux wrote
    the line, else `text`.

    A time without a year is of the last year that fits the file's own date. Events whose time is
    not known are left out by --since and --until.

    \b
    Exit status: 0 there were events, 1 there were none, 2 wrong usage, or a file
    that can't be read (the others are read all the same).

    \b
    Examples:
      sudo dmesg | kerneld scan
      journalctl -k -o json --since -2d | kerneld scan --json
      kerneld scan --since 2d /var/log/kern.log /var/log/kern.log.*.gz
      kerneld scan --comm python3 --follow /var/log/syslog
    """
    from kerneld.cli.terminal import local_zone
    from kerneld.cli.when import zone_named
    from kerneld.errors import UsageError
    from kerneld.scan.asked import Asked

    names = files or ["-"]
    if follow and len(names) > 1:
        raise UsageError("--follow goes with one FILE")
    if names.count("-") > 1:
        raise UsageError("- (standard input) can be read once")
    if follow:
        gc.enable()  # it was switched off for the start of a short command
    zone = local_zone() if tz is None else zone_named(tz)
    asked = Asked(_moment(since, "--since", zone), _moment(until, "--until", zone), pid, comm)
    _answer(names, asked, zone, as_json=as_json, follow=follow)


def _answer(names: list[str], asked: "Asked", zone: "tzinfo", *, as_json: bool, follow: bool) -> None:
    from kerneld.cli.terminal import complain, say
    from kerneld.errors import NothingFound, UsageError
    from kerneld.outputs.scan import closing, counted
    from kerneld.scan.asked import Counts

    counts = Counts()
    problems: list[UsageError] = []
    words = _json_words if as_json else _text_words(zone, several=len(names) > 1)
    told = words(_fitting(names, asked, counts, problems, zone=zone, follow=follow))
    if follow:
        for piece in told:
            say(piece)
    else:
        say(told)
    if counts.undated:
        events = counted(counts.undated, "event")
        complain(f"{events} without a date left out by --since or --until")
    if counts.fitting.events and not as_json:
        tally = counts.fitting
        say(closing(deaths=tally.deaths, errors=tally.errors, lines=counts.lines))
    if problems:
        if len(names) > 1:
            complain(f"{len(problems)} of {len(names)} files can't be read; see above")
        raise typer.Exit(problems[0].exit_code)
    if not counts.fitting.events:
        raise NothingFound(_nothing(counts, asked))


def _nothing(counts: "Counts", asked: "Asked") -> str:
    """Why nothing was told: there was nothing, or nothing of what was asked for."""
    from kerneld.outputs.scan import counted, tallied

    lines, told = counted(counts.lines, "line"), counts.told
    if not told.events:
        return f"no death is told in {lines}"
    options = {
        "--pid": asked.pid, "--comm": asked.comm, "--since": asked.since, "--until": asked.until,
    }  # fmt: skip
    given = " ".join(
        f"{name} {value}" if name in ("--pid", "--comm") else name
        for name, value in options.items()
        if value is not None
    )
    verb = "is" if told.deaths + told.errors == 1 else "are"
    return f"{tallied(told.deaths, told.errors)} {verb} told in {lines}; none fits {given}"


def _fitting(
    names: list[str],
    asked: "Asked",
    counts: "Counts",
    problems: "list[UsageError]",
    *,
    zone: "tzinfo",
    follow: bool,
) -> "Iterator[LogEvent | None]":
    """The events that fit, and None where a log falls silent. What can't be read is complained of."""
    from kerneld.cli.terminal import complain
    from kerneld.errors import UsageError

    for name in names:
        try:
            for event in _events(name, counts, zone, follow=follow):
                if event is None or counts.take(event, asked):
                    yield event
        except UsageError as problem:
            problems.append(problem)
            complain(str(problem))


def _events(
    name: str, counts: "Counts", zone: "tzinfo", *, follow: bool
) -> "Iterator[LogEvent | None]":
    from datetime import UTC, datetime

    from kerneld.errors import UsageError
    from kerneld.scan.files import blocks, changed_at
    from kerneld.scan.reader import LogReader

    written_at = changed_at(name)
    now = datetime.now(UTC)
    latest = now if written_at is None or follow else datetime.fromtimestamp(written_at, UTC)
    reader = LogReader(zone=zone, latest=latest, source_file=name)
    problem: UsageError | None = None
    try:
        for block in blocks(name, follow=follow, progress=_progress(name)):
            if block is None:
                yield from reader.flush()
                yield None
            else:
                yield from reader.feed(block)
    except UsageError as met:
        problem = met
    yield from reader.close()
    counts.lines += reader.lines
    if problem is not None:
        raise problem


def _json_words(events: "Iterable[LogEvent | None]") -> "Iterator[str]":
    from kerneld.outputs.scan import json_line

    return (json_line(event) for event in events if event is not None)


def _text_words(
    zone: "tzinfo", *, several: bool
) -> "Callable[[Iterable[LogEvent | None]], Iterator[str]]":
    """A date above each day's events; file and line with each, where several files are read."""
    from dataclasses import replace

    from kerneld.cli.terminal import view
    from kerneld.outputs.scan import day_line, folded, paragraph

    seen = replace(view(), zone=zone)

    def words(events: "Iterable[LogEvent | None]") -> "Iterator[str]":
        day: str | None = None
        for told in folded(events):
            event = told.event
            head, of_event = "", day_line(event, seen)
            if of_event is not None and of_event != day:
                head = seen.paint(of_event, "head") + "\n"
            day = of_event or day
            place = f"{event.source_file}, line {event.line_number}" if several else ""
            yield head + paragraph(told, seen, place)

    return words


def _progress(name: str) -> "Callable[[int, int], None] | None":
    """On a terminal, for a large file: how much has been read."""
    import sys
    import time

    if sys.stderr is None or not sys.stderr.isatty() or name == "-":
        return None
    told_at = time.monotonic()

    def progress(done: int, size: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if size < LARGE_BYTES or (now - told_at < PROGRESS_S and done < size):
            return
        told_at = now
        line = f"{done / size:.0%} of {size >> 20:,} MiB" if done < size else ""
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    return progress


def _moment(text: str | None, option: str, zone: "tzinfo") -> "datetime | None":
    from datetime import UTC, datetime

    from kerneld.cli.when import parse_when

    if text is None:
        return None
    return parse_when(text, now=datetime.now(UTC), zone=zone, option=option)
