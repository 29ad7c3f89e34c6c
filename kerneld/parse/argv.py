"""A command line to what it is for Jupyter: a kernel with its connection file, or what starts one."""

import re

from kerneld.model.vocabulary import ServerKind

_FILE_FLAGS = re.compile(r"--?(?:f|conn|connection[-_]file|control_file|args|\w+\.connection_file)")
_KERNEL_FILE = re.compile(r"(?:.*/)?(?:kernel-[^/]*|tmp[A-Za-z0-9_]{6,12})\.json")
_CODE_FLAG = re.compile(r"-[a-z]*c")
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*t?")
_QUOTES = "\"'"
MAX_PATH = 4096
MAX_WORDS = 1024
"""of a longer command line its first and last half count: a look at one must stay below 2 ms"""
MAX_SCRIPT, MAX_SCRIPTS = 8192, 2


def connection_file_of(argv: list[str]) -> str | None:
    """The connection file that a command line names, as it is written there; else None.

    By a flag (`-f FILE`, `--f=FILE`, `--conn FILE`, `--control_file FILE`, R's `--args FILE`), else
    an argument with a connection file's name, the last first; else the same inside `sh -c "…"`.
    """
    words = _bounded(argv)
    if any(word.startswith("--existing") for word in words):
        return None  # a console that only talks to that kernel
    return _by_flag(words) or _by_name(words) or _in_script(words)


def _bounded(words: list[str]) -> list[str]:
    half = MAX_WORDS // 2
    return words if len(words) <= MAX_WORDS else [*words[:half], *words[-half:]]


def _by_flag(words: list[str]) -> str | None:
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if not _FILE_FLAGS.fullmatch(flag):
            continue
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        path = value.strip(_QUOTES)
        if path.endswith(".json") and len(path) <= MAX_PATH:
            return path
    return None


def _by_name(words: list[str]) -> str | None:
    for word in reversed(words[1:]):
        path = word.strip(_QUOTES)
        if path.startswith("/") and len(path) <= MAX_PATH and _KERNEL_FILE.fullmatch(path):
            return path
    return None


def _in_script(argv: list[str]) -> str | None:
    for script in _scripts(argv):
        words = _words(script)
        if found := _by_flag(words) or _by_name(words):
            return found
    return None


def _scripts(argv: list[str]) -> list[str]:
    """Arguments that are command lines themselves: after `-c`, `-lc`, or a rewritten process title."""
    scripts = [argv[i + 1] for i in range(len(argv) - 1) if _CODE_FLAG.fullmatch(argv[i])]
    titles = argv if len([word for word in argv if word]) == 1 else []
    found = [text for text in (*scripts, *titles) if " " in text and len(text) <= MAX_SCRIPT]
    return found[:MAX_SCRIPTS]


# shlex takes 1 ms for a KiB, this 30 us; and a quote that is never closed costs it nothing
_SHELL_WORD = re.compile(
    r"""(?:[^\s'"\\;&|()<>]+|'[^']*'|"(?:[^"\\]|\\.)*"|\\.)+|[;&|()<>]+""", re.DOTALL
)
_QUOTED = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)""", re.DOTALL)
_ESCAPED = re.compile(r"""\\(["\\$`])""")


def _words(script: str) -> list[str]:
    """A shell's words, `;` and `&&` apart; a quote that is never closed (a cut title) is skipped."""
    return [_QUOTED.sub(_unquoted, word) for word in _SHELL_WORD.findall(script)]


def _unquoted(quoted: re.Match[str]) -> str:
    single, double, escaped = quoted.groups()
    return single or (_ESCAPED.sub(r"\1", double) if double else escaped) or ""


_XEUS = {
    "xpython": "python",
    "xpython-raw": "python",
    "xpython_launcher": "python",
    "xpython_raw_launcher": "python",
    "xcpp": "c++",
    "xr": "R",
    "xsqlite": "sql",
    "xsql": "sql",
    "xlua": "lua",
    "xoctave": "octave",
    "xjavascript": "javascript",
    "xhaskell": "haskell",
    "xrobot": "robotframework",
}
_OTHERS = (
    ("IRkernel::main", "irkernel", "R"),
    ("IJulia", "other", "julia"),
    ("evcxr_jupyter", "other", "rust"),
    ("gophernotes", "other", "go"),
    ("ijskernel", "other", "javascript"),
    ("tslab", "other", "typescript"),
)
_IPYKERNELS = ("ipykernel_launcher", "ipykernel", "spyder_kernels", "colab_kernel_launcher")


def kernel_implementation(argv: list[str]) -> tuple[str, str | None]:
    """(implementation, language): ipykernel, xeus, bash, irkernel or other; None: can't be told."""
    bounded = _bounded(argv)
    for words in (bounded, *(_words(script) for script in _scripts(bounded))):
        for index, word in enumerate(words):
            name = _stem(word)
            module = words[index + 1] if word == "-m" and index + 1 < len(words) else ""
            if module.split(".")[0] in _IPYKERNELS or name in _IPYKERNELS:
                return "ipykernel", "python"
            if name in _XEUS or module in _XEUS:
                return "xeus", _XEUS.get(name) or _XEUS[module]
            if re.fullmatch(r"\w+_kernel(\.\w+)?", module):
                language = module.split(".")[0].removesuffix("_kernel")
                return ("bash" if language == "bash" else "other"), language
            for mark, implementation, language in _OTHERS:
                if mark in word:
                    return implementation, language
    program = _stem(argv[0]) if argv else ""
    return "other", {"deno": "typescript", "java": "java", "node": "javascript"}.get(program)


def is_bare_ipykernel(argv: list[str]) -> bool:
    """`python -m ipykernel` by hand: a kernel whose file is only known by its pid, kernel-PID.json."""
    if "install" in argv or connection_file_of(argv) is not None or len(argv) < 3:
        return False
    if not _PYTHON.fullmatch(_stem(argv[0])) or "-m" not in argv[1:-1]:
        return False
    if any(word in ("--version", "--help", "--help-all", "-h") for word in argv):
        return False
    return argv[argv.index("-m") + 1] in ("ipykernel", "ipykernel_launcher")


_SERVERS = {
    **dict.fromkeys(
        (
            *("jupyter-lab", "jupyterlab", "jupyter-labapp", "jupyter-notebook", "notebook"),
            *("jupyter-server", "jupyter_server", "jupyter-nbclassic", "nbclassic"),
            *("jupyter-voila", "voila", "jupyter-kernelgateway", "kernel_gateway"),
        ),
        ServerKind.JUPYTER_SERVER,
    ),
    **dict.fromkeys(
        (
            *("jupyterhub-singleuser", "jupyterhub.singleuser", "jupyter-labhub"),
            *("batchspawner-singleuser", "batchspawner.singleuser", "jupyterlab.labhubapp"),
        ),
        ServerKind.JUPYTERHUB,
    ),
    **dict.fromkeys(
        ("jupyter-nbconvert", "nbconvert", "jupyter-execute", "jupyter-run", "nbclient"),
        ServerKind.NBCLIENT,
    ),
    **dict.fromkeys(
        ("jupyter-console", "jupyter_console", "jupyter-qtconsole", "qtconsole"), ServerKind.CONSOLE
    ),
    **dict.fromkeys(
        ("node", "code", "code-insiders", "code-server", "codium", "cursor"), ServerKind.VSCODE
    ),
    "papermill": ServerKind.PAPERMILL,
    "spyder": ServerKind.SPYDER,
    "spyder3": ServerKind.SPYDER,
}


def server_kind(argv: list[str]) -> ServerKind:
    """What a kernel's parent is. NONE: nothing known, such as a script that imports nbclient."""
    name, _ = _program(argv)
    if name == "exe" and any("node.mojom.NodeService" in word for word in argv):
        return ServerKind.VSCODE
    return _SERVERS.get(name, _SERVERS.get(name.split(".")[0], ServerKind.NONE))


def _program(argv: list[str]) -> tuple[str, list[str]]:
    """The program's name past the interpreter and `jupyter SUBCOMMAND`, and its arguments."""
    if not argv:
        return "", []
    name, rest = _stem(argv[0]), argv[1:]
    if _PYTHON.fullmatch(name):
        name, rest = _script(rest)
    if name in ("jupyter", "jupyter_core") and rest:
        return f"jupyter-{rest[0]}", rest[1:]
    return name, rest


def _script(words: list[str]) -> tuple[str, list[str]]:
    """Past the options of a python: its module, else its script's name; "" for `-c` and a prompt."""
    index = 0
    while index < len(words):
        word = words[index]
        if word == "-m":
            return (words[index + 1], words[index + 2 :]) if index + 1 < len(words) else ("", [])
        if not word.startswith("-"):
            return _stem(word), words[index + 1 :]
        if word == "-c":
            return "", []
        index += 2 if word in ("-X", "-W") else 1
    return "", []


def _stem(path: str) -> str:
    """`/usr/bin/jupyter-lab`, `jupyter-lab-script.py` and `jupyter-lab.py` are jupyter-lab."""
    return path.rsplit("/", 1)[-1].removesuffix(".py").removesuffix("-script")


_PAIRS = ("-p", "--parameters", "-r", "--parameters_raw")
_VALUED = ("--output", "--output-dir", "--to", "--config", "--template", "-y", "-b", "-k", "--cwd")


def argv_notebook(argv: list[str]) -> str | None:
    """The notebook that papermill, nbconvert or `jupyter execute` was asked to run, as written."""
    if server_kind(argv) not in (ServerKind.PAPERMILL, ServerKind.NBCLIENT):
        return None
    _, words = _program(argv)
    index = 0
    while index < len(words):
        word = words[index]
        if word.endswith(".ipynb") and not word.startswith("-"):
            return word
        index += 3 if word in _PAIRS else 2 if word in _VALUED else 1
    return None
