"""`kerneld doctor`: which evidence can be read here, what its lack costs, and what mends it."""

from pathlib import Path
from typing import TYPE_CHECKING

from kerneld.cli.options import AsJson, Database

if TYPE_CHECKING:
    from kerneld.doctor import Check, Report
    from kerneld.outputs.view import Role, View

_LABEL = 18
_COMMANDS = ("sudo ", "export ", "pipx ", "kerneld ", "/")
_SIGNS = {True: "✓", False: "✗", None: "·"}


def command(db: Database = None, as_json: AsJson = False) -> None:
    """Try every source of evidence, and say what mends a lack.

    It says what each lack costs a verdict, and the command that mends it.

    While a recorder runs, its own account is shown: it may read what this shell may not. Else
    each source is tried with the rights of this shell. Nothing is changed. The exit status is 0
    whenever it could look: a source that is missing makes verdicts weaker, not wrong.

    \b
    Examples:
      kerneld doctor
      sudo kerneld doctor
      kerneld doctor --json
    """
    from kerneld.cli.terminal import say, view
    from kerneld.outputs import json

    report = _examine(db)
    say(json.document(report) if as_json else "\n".join(_page(report, view())) + "\n")


def _examine(db: Path | None) -> "Report":
    from datetime import UTC, datetime

    from kerneld.cli.reading import places, silence
    from kerneld.config import default_mode, load
    from kerneld.doctor import Report, core_dumps, examine_places, examine_sources, told_by_daemon
    from kerneld.errors import StoreError
    from kerneld.live import Living, read_living
    from kerneld.proc.capabilities import watches_everybody

    paths, unread = places(db), ""
    try:
        living = read_living(paths.live)
    except StoreError as problem:
        living, unread = Living(), str(problem)
    now = datetime.now(UTC)
    daemon = living.daemon if living.is_running(now) else None
    silent_pid, silent = (None, "") if daemon else silence(db, living, now)
    pid = daemon.pid if daemon else silent_pid
    settings = load(paths.config)
    mode = default_mode(watches_everybody=watches_everybody())
    sources = (
        told_by_daemon(daemon)
        if daemon
        else examine_sources(mode, extra_folders=settings.discovery.runtime_dirs)
    )
    return Report(
        daemon=daemon,
        live_kernels=len(living.states) if daemon else 0,
        unread=unread,
        sources=(*sources, core_dumps()),
        silent_pid=silent_pid,
        silent=silent,
        places=tuple(examine_places(paths, daemon_pid=pid)),
    )


def _page(report: "Report", look: "View") -> list[str]:
    from kerneld.outputs.safe import wrap

    head = wrap(_headline(report), look.width)
    lines = [look.paint(line, "head") for line in head]
    for check in (*report.sources, *report.places):
        lines += _lines(check, look)
    if report.unread:
        lines += ["", *wrap(f"A recorder's state can't be read: {report.unread}.", look.width)]
    return lines


def _headline(report: "Report") -> str:
    tried = [check.works for check in report.sources if check.works is not None]
    count = f"{sum(tried)} of {len(tried)} sources"
    daemon = report.daemon
    if daemon is None and report.silent:
        return f"{report.silent[0].upper()}{report.silent[1:]}. Tried from here, {count} would work."
    if daemon is None:
        known = "No kerneld is seen to run." if report.unread else "kerneld does not run."
        return f"{known} Started from here, {count} would work."
    kernels = f"{report.live_kernels} kernel{'' if report.live_kernels == 1 else 's'}"
    unsaved = f", {daemon.unsaved} ends not saved yet" if daemon.unsaved else ""
    lost = f"{daemon.lost:,} events lost{unsaved}"
    return f"kerneld runs (pid {daemon.pid}, {kernels}, {lost}). {count} work."


def _lines(check: "Check", look: "View") -> list[str]:
    """The sign, the name, what was tried; below it what its lack costs, and the command."""
    from kerneld.outputs.safe import pad, safe_text, wrap

    room = look.width - _LABEL - 3
    told = ". ".join(part.rstrip(".") for part in (check.says, check.costs) if part)
    text = wrap(safe_text(f"{told}." if check.costs else told), room)
    role: Role = "good" if check.works else "bad" if check.works is False else "dim"
    first = f" {look.paint(_SIGNS[check.works], role)} {pad(check.name, _LABEL)}{text[0]}"
    remedy = _command(safe_text(check.remedy), room) if check.remedy else []
    return [
        first.rstrip(),
        *(" " * (_LABEL + 3) + line for line in text[1:]),
        *(" " * (_LABEL + 3) + look.paint(line, "accent") for line in remedy),
    ]


def _command(words: str, room: int) -> list[str]:
    """A command on several lines is continued as a shell wants it; other advice as text."""
    from kerneld.outputs.safe import wrap

    is_command = words.startswith(_COMMANDS)
    *lines, last = wrap(words, room - 2)
    return [*(f"{line} \\" if is_command else line for line in lines), last]
