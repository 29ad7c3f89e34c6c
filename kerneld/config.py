"""A TOML file into a frozen Config: every default lives here, every error names file and key."""

import difflib
import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kerneld.errors import ConfigError
from kerneld.model.notices import NotifyRule, RuleName, explain, shown
from kerneld.model.vocabulary import CodePolicy, Mode

__all__ = [
    "Config", "Mode", "Retention", "Setting",
    "allowed", "default_mode", "effective", "load", "load_given", "parse", "toml",
]  # fmt: skip

MAX_SHOWN = 60
HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")]
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Daemon(_Section):
    settle_s: float = Field(5.0, ge=0.5, le=300)
    """seconds that a verdict waits for late evidence"""


class Discovery(_Section):
    runtime_dirs: Annotated[tuple[AbsolutePath, ...], Field(strict=False)] = ()
    """folders with connection files, beside those that Jupyter uses by itself"""
    max_kernels_per_user: int = Field(256, ge=1, le=100_000)


class Memory(_Section):
    busy_hz: float = Field(10.0, ge=0.1, le=100)
    """samples a second of a kernel that is busy, grows or nears a limit; at rest it is one"""


class Iopub(_Section):
    enabled: bool = True


class Stacks(_Section):
    """Needs iopub: the process that hears the notebooks reads the stacks as well."""

    enabled: bool = True


class Privacy(_Section):
    code: CodePolicy | None = Field(None, strict=False)
    """None: full in a user's own daemon, line in a system daemon"""
    admin_sees_code: bool = False


class Retention(_Section):
    """What is kept how long. max_per_user: ends of one uid; evidence_bytes: compressed, of one end."""

    max_age_days: int = Field(180, ge=1, le=36_500)
    max_incidents: int = Field(20_000, ge=100, le=10_000_000)
    max_bytes: int = Field(536_870_912, ge=4_194_304, le=1 << 50)
    max_per_user: int = Field(1_000, ge=10, le=10_000_000)
    evidence_days: int = Field(30, ge=0, le=36_500)
    requested_days: int = Field(14, ge=0, le=36_500)
    evidence_bytes: int = Field(262_144, ge=4_096, le=16_777_216)


class Metrics(_Section):
    users: bool = False
    """count incidents by user, too: names leave for whoever reads the metrics"""


class Web(_Section):
    """hosts: names by which browsers reach the page, beside localhost and addresses."""

    hosts: Annotated[tuple[HostName, ...], Field(strict=False)] = ()
    hub_accounts: str = Field("{username}", pattern=r"^[a-z0-9._-]*\{username\}[a-z0-9._-]*$")
    """the account of this machine that a user of the Hub's has"""


class Config(_Section):
    """The whole configuration, one section a table of the file; `notify` has one a rule."""

    model_config = ConfigDict(defer_build=True)

    daemon: Daemon = Daemon()
    discovery: Discovery = Discovery()
    memory: Memory = Memory()
    iopub: Iopub = Iopub()
    stacks: Stacks = Stacks()
    privacy: Privacy = Privacy()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    web: Web = Web()
    notify: dict[RuleName, NotifyRule] = Field(default_factory=dict)

    def code_policy(self, mode: Mode) -> CodePolicy:
        """How much code is stored: as configured, else full for oneself and lines for others."""
        return self.privacy.code or (CodePolicy.FULL if mode is Mode.USER else CodePolicy.LINE)


# ---------------------------------------------------------------- where things are


def default_mode(*, watches_everybody: bool) -> Mode:
    """System for root and for a service user that may read everybody's files; else user."""
    return Mode.SYSTEM if watches_everybody else Mode.USER


def load(path: Path | None) -> Config:
    """The configuration in a file; the defaults where there is no such file (or no path)."""
    text = None if path is None else _read(path)
    return Config() if path is None or text is None else parse(text, path)


def load_given(path: Path) -> Config:
    """The configuration in a file that a person named: it must be there."""
    text = _read(path)
    if text is None:
        raise ConfigError(f"{path}: no such file; `kerneld config path` says where it is looked for")
    return parse(text, path)


def _read(path: Path) -> bytes | None:
    """None where there is no such file. A pipe in its place would hang whoever waits for its end."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path}: no regular file; name one with --config")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise ConfigError(f"{path}: {problem.strerror}; name another file with --config") from None


def parse(text: bytes, path: Path) -> Config:
    """TOML as bytes into a Config; path: named in errors only."""
    try:
        table = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise ConfigError(f"{path}: not TOML: {problem}") from None
    except ValueError:  # Python's own, for a decimal number of more than 4,300 digits
        raise ConfigError(f"{path}: not TOML: a number in it has far too many digits") from None
    try:
        return Config.model_validate(table)
    except ValidationError as problem:
        lines = [_explain(error, path) for error in problem.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from None


def _explain(error: ErrorDetails, path: Path) -> str:
    """`FILE: privacy.code = "none": allowed is one of full, line, hash, off`."""
    if error["loc"][0] == "notify":
        return f"{path}: {explain(error)}"
    names = [str(part) for part in error["loc"][:2]]
    key = ".".join(names)
    if error["type"] == "extra_forbidden":
        return f"{path}: {key}: no such {'key' if names[1:] else 'section'}; {_nearest(names)}"
    if len(names) == 1:
        return f"{path}: {key}: must be a section: [{key}]"
    return f"{path}: {key} = {_shown(error['input'])}: allowed is {allowed(key)}"


def _shown(value: object) -> str:
    """A value as it stands in the file, or its beginning."""
    try:
        text = toml(value)
    except ValueError:  # a hexadecimal number of more digits than Python prints
        return "a number of far too many digits"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _nearest(names: list[str]) -> str:
    """What was probably meant: a like name in the same table, or the same name in another one."""
    *section, name = names
    keys = list(_fields())
    known = list(Config.model_fields) if not section else _keys_of(section[0])
    elsewhere = [key for key in keys if key.partition(".")[2] == name]
    near = elsewhere or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _keys_of(section: str) -> list[str]:
    return [key.partition(".")[2] for key in _fields() if key.partition(".")[0] == section]


def _fields() -> dict[str, FieldInfo]:
    """Every key, `section.name`, with its field."""
    return {
        f"{section}.{name}": inner
        for section, outer in Config.model_fields.items()
        if isinstance(outer.default, _Section)
        for name, inner in type(outer.default).model_fields.items()
    }


def allowed(key: str) -> str:
    """What a key may be, in words, from its field's own limits."""
    field = _fields()[key]
    if field.annotation is bool:
        return "true or false"
    if field.annotation == CodePolicy | None:
        return f"one of {', '.join(toml(policy.value) for policy in CodePolicy)}"
    if field.annotation is int or field.annotation is float:
        bounds = {type(mark).__name__: mark for mark in field.metadata}
        low, high = getattr(bounds["Ge"], "ge", None), getattr(bounds["Le"], "le", None)
        return f"{'a whole number' if field.annotation is int else 'a number'} from {low} to {high}"
    return _WORDS.get(key, "a list of absolute paths")


_WORDS = {
    "web.hosts": "a list of names of hosts",
    "web.hub_accounts": 'a name with "{username}" in it',
}


# ---------------------------------------------------------------- telling


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value, and where it comes from: a file's path, or `default`."""

    key: str
    value: object
    origin: str


def effective(config: Config, path: Path | None, mode: Mode) -> list[Setting]:
    """Every key with the value that holds; path: the file that the configuration was loaded from."""
    rows: list[Setting] = []
    for key in _fields():
        section, _, name = key.partition(".")
        table = getattr(config, section)
        from_file = section in config.model_fields_set and name in table.model_fields_set
        value = config.code_policy(mode) if key == "privacy.code" else getattr(table, name)
        rows.append(Setting(key, value, str(path) if from_file else "default"))
    rules = ((name, *row) for name, rule in config.notify.items() for row in shown(rule))
    rows += [Setting(f"notify.{name}.{key}", value, str(path)) for name, key, value in rules]
    return rows


def toml(value: object) -> str:
    """A value as TOML writes it; what TOML can't say, as Python does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    return str(value)
