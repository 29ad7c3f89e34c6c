"""Configuration: defaults, errors that name file and key, and where things are."""

import re
from pathlib import Path

import pytest

from kerneld.config import (
    Config,
    Mode,
    Setting,
    allowed,
    default_mode,
    effective,
    load,
    load_given,
    parse,
)
from kerneld.errors import ConfigError
from kerneld.model.vocabulary import CodePolicy
from kerneld.places import paths

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
FILE = Path("/etc/kerneld/config.toml")
KEYS = {setting.key for setting in effective(Config(), None, Mode.USER)}


def test_the_example_with_every_key_uncommented_is_the_defaults() -> None:
    text = re.sub(r"^#(\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    config = parse(text.encode(), EXAMPLE)
    assert config == Config()
    shown = {row.key for row in effective(config, EXAMPLE, Mode.USER) if row.origin != "default"}
    assert shown == KEYS - {"privacy.code"}, "the default of privacy.code depends on the mode"


def test_the_example_as_it_is_shipped_changes_nothing() -> None:
    assert load(EXAMPLE).model_fields_set == set(Config.model_fields) - {"notify"}
    assert load(EXAMPLE) == Config()


def test_every_key_of_the_example_is_commented_by_a_line_above() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for key in KEYS:
        name = key.partition(".")[2]
        at = next(i for i, line in enumerate(lines) if re.match(rf"# ?{name} = ", line))
        assert any(line.startswith("# ") for line in lines[max(0, at - 4) : at]), key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[retention]\nmax_age_days = -3",
            "retention.max_age_days = -3: allowed is a whole number from 1",
        ),
        ("[retention]\nmax_age_days = '3'", 'retention.max_age_days = "3": allowed is a whole number'),
        (
            "[retention]\nmax_age_days = true",
            "retention.max_age_days = true: allowed is a whole number",
        ),
        ("[daemon]\nsettle_s = nan", "daemon.settle_s = nan: allowed is a number from 0.5 to 300"),
        ("[privacy]\ncode = 'none'", '"none": allowed is one of "full", "line", "hash", "off"'),
        ("[privacy]\nadmin_sees_code = 1", "privacy.admin_sees_code = 1: allowed is true or false"),
        ("[discovery]\nruntime_dirs = ['a']", "discovery.runtime_dirs = "),
        ("[discovery]\nruntime_dirs = '/a'", "allowed is a list of absolute paths"),
        ("[privacy]\ncod = 'off'", "privacy.cod: no such key; did you mean code?"),
        ("[privcy]\ncode = 'off'", "privcy: no such section; did you mean privacy?"),
        ("settle_s = 1", "settle_s: no such section; did you mean daemon.settle_s?"),
        ("[daemon]\ncode = 'off'", "daemon.code: no such key; did you mean privacy.code?"),
        ("[daemon]\nzzz = 1", "daemon.zzz: no such key; known are settle_s"),
        ("daemon = 3", "daemon: must be a section: [daemon]"),
        ("[daemon", "not TOML"),
        ("\x00", "not TOML"),
    ],
)
def test_an_error_names_the_file_the_key_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), FILE)
    assert caught.value.exit_code == 78
    assert str(caught.value).startswith(str(FILE))
    assert said in str(caught.value)


def test_every_error_of_a_file_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b"[daemon]\nsettle_s = 0\n[iopub]\nenabled = 3\n", FILE)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_says_what_is_allowed(key: str) -> None:
    assert allowed(key).startswith(
        ("a whole number from ", "a number from ", "true", "one of", "a list", "a name")
    )


def test_a_whole_number_is_a_number() -> None:
    assert parse(b"[daemon]\nsettle_s = 3", FILE).daemon.settle_s == 3.0


def test_no_file_means_the_defaults_unless_somebody_named_it(tmp_path: Path) -> None:
    missing = tmp_path / "config.toml"
    assert load(missing) == load(None) == Config()
    with pytest.raises(ConfigError, match="no such file"):
        load_given(missing)


def test_a_folder_in_place_of_the_file_is_an_error_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_whole_cells_are_kept_for_oneself_and_lines_for_others() -> None:
    assert Config().code_policy(Mode.USER) is CodePolicy.FULL
    assert Config().code_policy(Mode.SYSTEM) is CodePolicy.LINE
    off = parse(b"[privacy]\ncode = 'off'", FILE)
    assert off.code_policy(Mode.USER) is CodePolicy.OFF


def test_effective_values_say_where_they_come_from() -> None:
    config = parse(b"[privacy]\ncode = 'hash'\n[daemon]\nsettle_s = 5.0\n", FILE)
    rows = {row.key: row for row in effective(config, FILE, Mode.SYSTEM)}
    assert rows["privacy.code"] == Setting("privacy.code", CodePolicy.HASH, str(FILE))
    assert rows["daemon.settle_s"].origin == str(FILE), "set to its default, but set"
    assert rows["iopub.enabled"] == Setting("iopub.enabled", True, "default")


def test_the_service_has_its_places() -> None:
    found = paths(Mode.SYSTEM, {"XDG_STATE_HOME": "/elsewhere"}, Path("/root"))
    told = [str(path) for path in (found.config, found.database, found.live)]
    assert told == ["/etc/kerneld/config.toml", "/var/lib/kerneld/kerneld.db", "/run/kerneld/live.db"]


@pytest.mark.parametrize(
    ("environ", "database", "live"),
    [
        ({}, "/home/u/.local/state/kerneld/kerneld.db", "/home/u/.local/state/kerneld/live.db"),
        (
            {"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/run/user/7"},
            "/s/kerneld/kerneld.db",
            "/run/user/7/kerneld/live.db",
        ),
        (
            {"XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": ""},
            "/home/u/.local/state/kerneld/kerneld.db",
            "/home/u/.local/state/kerneld/live.db",
        ),
    ],
    ids=["bare", "xdg", "a relative path is to be ignored"],
)
def test_a_user_has_the_places_of_xdg(environ: dict[str, str], database: str, live: str) -> None:
    found = paths(Mode.USER, environ, Path("/home/u"))
    assert (str(found.database), str(found.live)) == (database, live)


def test_a_database_of_ones_own_choice_has_its_living_beside_it() -> None:
    found = paths(Mode.USER, {}, Path("/home/u"), database=Path("/data/k.db"))
    assert (found.live, found.runtime_dir) == (Path("/data/k.db.live"), Path("/data"))
    usual = paths(Mode.SYSTEM, {}, Path("/"), database=Path("/var/lib/kerneld/kerneld.db"))
    assert usual.live == Path("/run/kerneld/live.db")


def test_who_may_read_everybodys_files_watches_everybody() -> None:
    assert default_mode(watches_everybody=True) is Mode.SYSTEM
    assert default_mode(watches_everybody=False) is Mode.USER


def test_a_home_that_machines_share_has_a_folder_for_each() -> None:
    shared = paths(Mode.USER, {}, Path("/home/u"), host="node7")
    assert shared.database == Path("/home/u/.local/state/kerneld/node7/kerneld.db")
