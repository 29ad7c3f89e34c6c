"""A program run with a message on its stdin into whether it was taken."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence

from kerneld.notify.outcome import Outcome

DEADLINE_S = 60.0
_PASSED_ON = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS", "STATE_DIRECTORY",
)  # fmt: skip


def run(
    argv: Sequence[str], text: str, variables: Mapping[str, str], *, deadline_s: float = DEADLINE_S
) -> Outcome:
    """No shell. It is ended with its children after deadline_s. Its words go to this log's stderr."""
    name = os.path.basename(argv[0])
    environ = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=2,
            env=environ | dict(variables),
            start_new_session=True,
        )
    except OSError as problem:
        return Outcome(f"{name}: {problem.strerror}")
    try:
        child.communicate(text.encode(), deadline_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return Outcome(f"{name} was not done within {deadline_s:g} s, and was ended")
    status = child.returncode
    return Outcome(f"{name} ended with status {status}") if status else Outcome()


def desktop_argv(title: str, text: str) -> list[str] | None:
    """What shows a notification by org.freedesktop.Notifications; None where nothing here can.

    text: in the markup of its specification, users' `<` escaped.
    """
    if shutil.which("notify-send"):
        return ["notify-send", "--app-name=kerneld", "--icon=dialog-warning", "--", title, text]
    if shutil.which("busctl"):
        name, path = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
        call = ["busctl", "--user", "--", "call", name, path, name, "Notify", "susssasa{sv}i"]
        return [*call, "kerneld", "0", "dialog-warning", title, text, "0", "0", "-1"]
    return None
