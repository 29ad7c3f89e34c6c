"""Words of the command line to a verb's file: only the one that is asked for is loaded."""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from kerneld import __version__
from kerneld.cli.options import HELP_OPTIONS
from kerneld.cli.terminal import complain
from kerneld.errors import KerneldError

# a verb and the file that holds its `command`, in the order of `kerneld --help`
VERBS = {
    "run": "kerneld.cli.run",
    "incidents": "kerneld.cli.incidents",
    "show": "kerneld.cli.show",
    "kernels": "kerneld.cli.kernels",
    "scan": "kerneld.cli.scan",
    "doctor": "kerneld.cli.doctor",
    "demo": "kerneld.cli.demo",
    "causes": "kerneld.cli.causes",
    "config": "kerneld.cli.config",
    "prune": "kerneld.cli.prune",
    "rejudge": "kerneld.cli.rejudge",
    "export": "kerneld.cli.export",
    "metrics": "kerneld.cli.metrics",
    "notify": "kerneld.cli.notify",
    "web": "kerneld.cli.web",
}
EXIT_IO = 74


class Verbs(TyperGroup):
    """Loads a verb when it is named: all of them cost 40 ms that `incidents` does not have."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in VERBS:
            return None
        verb = typer.Typer(add_completion=False, rich_markup_mode=None)
        function = importlib.import_module(VERBS[cmd_name]).command
        verb.command(cmd_name, context_settings=HELP_OPTIONS)(function)
        return typer.main.get_command(verb)


def _version(asked: bool) -> None:
    if asked:
        print(f"kerneld {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Say what killed a Jupyter kernel, what it was running, and what to do about it.

    \b
    The recorder:   kerneld run          (or the service: systemctl start kerneld)
    What died:      kerneld incidents    the list, newest last
                    kerneld show latest  the whole story of one, with the proof
    What lives:     kerneld kernels
    Any Linux log:  dmesg | kerneld scan

    \b
    Exit status: 0 done, 1 nothing found, 2 wrong usage, 74 the database can't be
    read or written, 75 a second daemon, 78 the configuration is wrong.
    """


def main() -> NoReturn:
    """Run the verb; an error becomes one line on stderr and its exit status."""
    # 40 ms of the 400 of a short command went to collecting garbage that imports don't make
    gc.disable()
    # a closed pipe and Ctrl-C end the command as they end any other, without a word
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    app = typer.Typer(
        cls=Verbs,
        add_completion=False,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=HELP_OPTIONS,
    )
    app.callback()(_root)
    try:
        status = _run(typer.main.get_command(app))
        sys.stdout.flush()
    except OSError as problem:
        complain(f"{problem.filename or 'output'}: {problem.strerror or problem}")
        status = EXIT_IO
    # 40 ms of 280 went to taking the interpreter apart; flushing once more what could not be written
    # would end in a traceback
    os._exit(status)


def _run(command: Callable[..., object]) -> int:
    """The exit status."""
    try:
        command(prog_name="kerneld", standalone_mode=True)
    except KerneldError as problem:
        sys.stdout.flush()
        complain(str(problem))
        return problem.exit_code
    except SystemExit as done:
        return int(done.code or 0)
    return 0
