"""A cell's source into plain facts about it: does it leave, does it kill its own process?"""

import ast
import re

from kerneld.model.said import CodeFacts

MAX_CHARS = 64 * 1024
NOT_PARSED = CodeFacts(parsed=False)

_PYTHON_CELL_MAGICS = ("time", "timeit", "capture", "prun", "memit", "mprun")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*\n?")
_TARGETS = re.compile(r"[\w.,\s\[\]\"']+")

# names as people write them when an earlier cell did the import
_USUAL_MODULES = {name: name for name in ("os", "sys", "signal", "psutil")}
_USUAL_NAMES = {"_exit": "os._exit", "getpid": "os.getpid", "raise_signal": "signal.raise_signal"}

_HARD_EXITS = {"os._exit"}
_SELF_KILLS = {"os.abort", "signal.raise_signal"}
_SENDERS = {"os.kill", "os.killpg"}
_OWN_PIDS = {"os.getpid", "os.getpgrp", "os.getpgid"}
_PROCESS_ENDINGS = {"kill", "terminate"}


def code_facts(source: str, *, language: str | None) -> CodeFacts:
    """What a cell's syntax tree tells; not Python, too long or not parsable: parsed is False."""
    if language != "python" or len(source) > MAX_CHARS:
        return NOT_PARSED
    try:
        tree = _parse(source)
        return _Reading(tree).facts() if tree is not None else NOT_PARSED
    except (RecursionError, MemoryError, ValueError):
        return NOT_PARSED


def _parse(source: str) -> ast.Module | None:
    """As it stands; else, as it has IPython's own lines, without those."""
    for text in (source, without_magics(source)):
        if text is None:
            return None
        try:
            return ast.parse(text)
        except SyntaxError:
            continue
    return None


def without_magics(source: str) -> str | None:
    """Magics, shell lines and help into `pass`, line for line; None: a cell of another language."""
    cell_magic = _CELL_MAGIC.match(source)
    if cell_magic:
        if cell_magic[1] not in _PYTHON_CELL_MAGICS:
            return None
        source = "\n" + source[cell_magic.end() :]
    return "\n".join(_plain_line(line) for line in source.split("\n"))


def _plain_line(line: str) -> str:
    """No pattern here looks at a blank twice: 62,000 of them took one 25 s."""
    words = line.lstrip()
    indent = line[: len(line) - len(words)]
    magic, _, timed = words.partition(" ")
    if magic == "%time" and timed.strip():
        return indent + timed.lstrip()
    if words.startswith(("%", "!", "?")) or words.endswith("?"):
        return indent + "pass"
    targets, equals, value = words.partition("=")
    if equals and value.lstrip().startswith(("%", "!")) and _TARGETS.fullmatch(targets):
        return f"{indent}{targets}= None"
    return line


class _Reading:
    """One walk over a tree. Names are resolved through the cell's own imports, no further."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._nodes = list(ast.walk(tree))
        self._names = dict(_USUAL_MODULES) | _USUAL_NAMES | self._imported()
        self._own_pids = frozenset(
            target.id
            for node in self._nodes
            if isinstance(node, ast.Assign) and self._asks_own_pid(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        )

    def facts(self) -> CodeFacts:
        calls = [node for node in self._nodes if isinstance(node, ast.Call)]
        called = {self._dotted(call.func) for call in calls}
        return CodeFacts(
            calls_exit=any(self._leaves(call) for call in calls) or self._ends_with_bare_exit(),
            hard_exits=bool(called & _HARD_EXITS),
            kills_itself=any(self._kills_itself(call) for call in calls),
            raises_system_exit="sys.exit" in called or any(map(self._raises_exit, self._nodes)),
        )

    def _imported(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in self._nodes:
            if isinstance(node, ast.Import):
                found |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        return found

    def _dotted(self, node: ast.expr) -> str:
        """`os.kill` for what the cell calls so, by whatever name; "" for anything else."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return f"{self._names.get(node.value.id, node.value.id)}.{node.attr}"
        return ""

    def _leaves(self, call: ast.Call) -> bool:
        """`exit(keep_kernel=True)` leaves the kernel alive."""
        if self._dotted(call.func) not in ("exit", "quit"):
            return False
        return not any(word.arg == "keep_kernel" for word in call.keywords)

    def _ends_with_bare_exit(self) -> bool:
        """IPython calls a bare `exit` for the user."""
        last = self._tree.body[-1] if self._tree.body else None
        return isinstance(last, ast.Expr) and self._dotted(last.value) in ("exit", "quit")

    def _kills_itself(self, call: ast.Call) -> bool:
        name = self._dotted(call.func)
        if name in _SELF_KILLS:
            return True
        if name in _SENDERS:
            return bool(call.args) and self._is_own_pid(call.args[0])
        return self._ends_own_process(call.func)

    def _ends_own_process(self, function: ast.expr) -> bool:
        """`psutil.Process().kill()`: without a pid it is the own process."""
        if not (isinstance(function, ast.Attribute) and function.attr in _PROCESS_ENDINGS):
            return False
        made = function.value
        if not (isinstance(made, ast.Call) and self._dotted(made.func) == "psutil.Process"):
            return False
        return not made.args or self._is_own_pid(made.args[0])

    def _is_own_pid(self, node: ast.expr) -> bool:
        """`os.getpid()`, a name that was given it, or the 0 that means the own group."""
        if isinstance(node, ast.Name):
            return node.id in self._own_pids
        if isinstance(node, ast.Constant):
            return type(node.value) is int and node.value == 0
        return self._asks_own_pid(node)

    def _asks_own_pid(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and self._dotted(node.func) in _OWN_PIDS

    def _raises_exit(self, node: ast.AST) -> bool:
        if not (isinstance(node, ast.Raise) and node.exc is not None):
            return False
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return self._dotted(raised) == "SystemExit"
