"""`kerneld demo`: a real kernel dies, and its incident is told."""


def command() -> None:
    """Kill a real kernel and show its incident.

    It starts a recorder and a Python kernel of its own, lets a cell grow a list until the memory
    is gone, and tells what the recorder says of it. The memory is that of a cgroup with a limit of
    300 MiB; where there can be none, the cell crashes by a segfault instead. It takes some 10
    seconds and leaves nothing behind.

    \b
    Examples:
      kerneld demo
    """
    import shutil
    import sys

    from kerneld.cli.terminal import say, view
    from kerneld.demo.patience import Interrupted, Patience
    from kerneld.demo.play import play
    from kerneld.outputs.safe import safe_text, wrap
    from kerneld.outputs.story import story

    def tell(line: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"… {safe_text(line)}\n")

    with Patience() as patience:
        try:
            played = play(patience, tell)
        except Interrupted:
            patience.die_of_signal()
            return
    look = view()
    say(story(played.incident, look) + "\n")
    if played.instead:
        reason = f"It was a segfault and not the memory, because {played.instead}."
        say("\n".join(wrap(safe_text(reason), look.width)) + "\n")
    here = sys.argv[0] if sys.argv[0].endswith("/kerneld") else "kerneld"
    name = "kerneld" if shutil.which("kerneld") else here
    say(f"Nothing of it is left. To record your own kernels: {safe_text(name)} run\n")
