"""The arrows of the house: who may import whom, held over the syntax tree of every module."""

import ast
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kerneld"

# room -> rooms of kerneld it may import ("." is the room itself: siblings)
ALLOWED: dict[str, set[str]] = {
    "model": {".", "errors"},
    "errors": set(),
    "lean": set(),
    "config": {"model", "errors"},
    "parse": {".", "model"},
    "privacy": {"model"},
    "seen": {"model", "privacy"},
    "proc": {".", "model", "errors", "parse"},
    "rules": {".", "model"},
    "advice": {".", "model"},
    "growth": {".", "model"},
    "track": {".", "model"},
    "correlate": {".", "model"},
    "report": {"model"},
    "diagnose": {"model", "rules"},
    "advise": {"model", "advice"},
    "discover": {".", "model", "errors", "parse", "proc", "sources"},
    "sources": {".", "model", "errors", "parse", "proc", "growth"},
    "tracing": {"proc"},
    "places": {"model", "errors", "proc"},
    "scan": {".", "model", "errors", "parse"},
    "reader": {".", "model", "errors", "parse", "lean"},
    "store": {".", "model", "errors"},
    "live": {"model", "errors"},
    "figures": {"model", "store", "live"},
    "doctor": {
        ".", "model", "errors", "parse", "proc", "config", "places", "discover", "sources", "store",
    },
    "demo": {".", "model", "errors", "places", "proc", "store", "live"},
    "outputs": {".", "model"},
    "query": {".", "model", "errors", "places", "store", "live", "seen"},
    "notify": {".", "model", "errors", "config", "store", "outputs", "places", "seen"},
    "web": {
        ".", "model", "errors", "config", "store", "live", "figures", "outputs", "seen",
    },
    "daemon": {
        ".", "model", "errors", "config", "parse", "privacy", "proc", "rules", "track", "correlate",
        "report", "diagnose", "advise", "discover", "sources", "store", "live", "doctor", "outputs",
        "places", "lean",
    },
}  # fmt: skip
EVERYTHING = {"cli", "__main__", "__init__"}

# room -> third-party modules it owns; the standard library is everybody's but the pure rooms'
OWNED: dict[str, set[str]] = {
    "model": {"pydantic"},
    "config": {"pydantic"},
    "proc": {"psutil"},
    "discover": {"watchdog"},
    "reader": {"zmq"},
    "demo": {"zmq"},
    "store": {"sqlite_utils"},
    "outputs": {"rich", "prometheus_client"},
    "web": {"starlette", "uvicorn", "h11", "jinja2"},
    "cli": {"typer", "click", "rich"},
}
THIRD_PARTY = {
    "pydantic", "psutil", "watchdog", "zmq", "sqlite_utils", "typer", "click", "rich", "jupyter_client",
    "prometheus_client", "starlette", "uvicorn", "jinja2",
}  # fmt: skip
# the standard library's sqlite3: the reader, without rights, looks into users' history files in memory;
# nobody else opens a database
SQLITE_ROOMS = {"store", "live", "reader"}

PURE = {
    "model", "parse", "privacy", "seen", "rules", "advice", "growth", "track", "correlate", "report",
    "diagnose", "advise", "outputs",
}  # fmt: skip
IMPURE_MODULES = {"os", "time", "pathlib", "subprocess", "logging", "random", "threading", "socket"}
IMPURE_CALLS = {"open", "print", "input"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(tree: ast.AST) -> list[tuple[str, ast.stmt]]:
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            module = node.module or ""
            found += [
                (f"{module}.{alias.name}" if module == "kerneld" else module, node)
                for alias in node.names
            ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_room_imports_only_what_the_house_allows(path: Path) -> None:
    room = room_of(path)
    if room in EVERYTHING:
        return
    assert room in ALLOWED, f"{room} is no room of the house"
    for name, node in imports(ast.parse(path.read_text())):
        top, _, rest = name.partition(".")
        if top == "kerneld":
            other = rest.partition(".")[0]
            other = "." if other == room else other
            assert other in ALLOWED[room] | {"__version__"}, (
                f"{room} imports {name}, line {node.lineno}"
            )
            if other == "." and room in ("rules", "advice") and path.name != "__init__.py":
                pytest.fail(f"{path.name} imports its sibling {name}")
        elif top in THIRD_PARTY:
            assert top in OWNED.get(room, set()), f"{room} imports {name}, line {node.lineno}"
        elif top == "sqlite3":
            assert room in SQLITE_ROOMS, f"{room} opens SQLite, line {node.lineno}"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room_of(p) in PURE], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_a_pure_room_touches_nothing_outside(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for name, node in imports(tree):
        assert name.partition(".")[0] not in IMPURE_MODULES, f"imports {name}, line {node.lineno}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, f"calls {node.func.id}, line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_stand_at_the_top(path: Path) -> None:
    """Imports inside functions only in the command line and what it opens: start-up time, memory.

    And in the reader, which loads libzmq for kernels that encrypt alone.
    """
    if room_of(path) in {"cli", "__main__"} or path.name in {"connection.py", "reading.py", "store.py"}:
        return
    if path in {PACKAGE / "reader" / "files.py", PACKAGE / "reader" / "ears.py"}:
        return
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inner, f"{function.name} imports inside, line {function.lineno}"


def test_no_two_test_files_have_one_name() -> None:
    """pytest would collect one of them only."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
