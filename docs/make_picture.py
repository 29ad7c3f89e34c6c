"""A real death into README's picture and text: `python docs/make_picture.py`, as root, with numpy.

It runs `kerneld demo` on a terminal of its own and keeps what that shows, colours and all.
"""

import os
import pty
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).parent
PICTURE, README = HERE / "incident.svg", HERE.parent / "README.md"
BEGIN, END = "<!-- written by docs/make_picture.py -->\n", "<!-- end -->"
COLUMNS = 84
THEME = TerminalTheme(
    (22, 27, 34),
    (201, 209, 217),
    [
        (22, 27, 34), (255, 123, 114), (126, 231, 135), (227, 179, 65),
        (121, 192, 255), (210, 168, 255), (86, 212, 221), (201, 209, 217),
    ],
)  # fmt: skip
FONTS = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


def demo() -> str:
    """What `kerneld demo` writes to a terminal."""
    master, slave = pty.openpty()
    environ = os.environ | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "TZ": "UTC"}
    argv = [sys.executable, "-m", "kerneld", "demo"]
    with subprocess.Popen(
        argv, stdout=slave, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environ
    ) as process:
        os.close(slave)
        said = b""
        while piece := _read(master):
            said += piece
    os.close(master)
    if process.returncode:
        sys.exit(f"kerneld demo: exit status {process.returncode}")
    return said.decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # EIO: the last writer has closed its end
        return b""


def picture(shown: Text) -> str:
    """As SVG without the web fonts that Rich refers to: a README loads none."""
    for gap in re.finditer(r" {2,}|^ ", shown.plain, re.MULTILINE):
        # a span of its own, which Rich leaves out: some renderers swallow blanks around a text
        shown.stylize(Style(meta={"gap": True}), *gap.span())
    console = Console(record=True, width=COLUMNS, file=StringIO(), legacy_windows=False)
    console.print(shown, soft_wrap=True)
    svg = console.export_svg(title="kerneld show latest", theme=THEME, unique_id="kerneld")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", FONTS)


def main() -> None:
    story = demo().rpartition("\nNothing of it is left.")[0].rstrip() + "\n"
    shown = Text.from_ansi(story)
    PICTURE.write_text(picture(shown))
    plain = "\n".join(line.rstrip() for line in shown.plain.splitlines())
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{BEGIN}```text\n{plain}\n```\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
