"""Which package has a file, by real installers' papers; and papers that were made to harm."""

import json
import subprocess
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerneld.parse.maps import executable_kib, executable_lines, file_at
from kerneld.parse.packages import (
    conda_metas,
    dist_infos,
    dpkg_package,
    parse_conda,
    parse_metadata,
    parse_rpm,
    record_has,
)
from kerneld.proc.dpkg import dpkg_owner
from kerneld.sources.rpm import rpm_owner

SITE = Path(sysconfig.get_path("purelib"))
RECORD = b"""crashing/__init__.py,sha256=abc,12
crashing/native.so,sha256=def,15624
"crashing/a,b.so",sha256=def,1
"crashing/new
line.so",sha256=def,1
../../../etc/shadow,,
../../lib/beside.so,sha256=ghi,9
"""
CONDA = json.dumps({"name": "openblas", "version": "0.3.21", "files": ["lib/libopenblas.so", "é.so"]})


# ---------------------------------------------------------------- wheels


def test_numpys_own_papers_name_numpy() -> None:
    (info,) = SITE.glob("numpy-*.dist-info")
    (library,) = SITE.glob("numpy/_core/_multiarray_umath*.so")
    relative = str(library.relative_to(SITE))
    assert record_has((info / "RECORD").read_bytes(), relative.encode())
    version = info.name.removeprefix("numpy-").removesuffix(".dist-info")
    assert parse_metadata((info / "METADATA").read_bytes()) == ("numpy", version)
    names = [path.name for path in SITE.iterdir()]
    assert dist_infos(names, relative)[0] == info.name
    assert dist_infos(names, "numpy.libs/libscipy_openblas.so")[0] == info.name


@pytest.mark.parametrize(
    ("path", "has"),
    [
        (b"crashing/native.so", True),
        (b"crashing/a,b.so", True),
        (b"crashing/new\nline.so", True),
        (b"../../lib/beside.so", True),
        (b"native.so", False),
        (b"crashing/native.s", False),
        (b"line.so", False),
        (b"rashing/native.so", False),
        (b"", False),
    ],
    ids=repr,
)
def test_a_path_is_listed_as_a_whole_or_not_at_all(path: bytes, has: bool) -> None:
    """One that climbs out is compared like any other: nothing is opened by it."""
    assert record_has(RECORD, path) is has


def test_folders_that_are_no_wheels_metadata_are_left_out() -> None:
    planted = ["../x.dist-info", "a\nb-1.dist-info", "x-1.dist-info", "\x1b-1.dist-info", ".dist-info"]
    assert dist_infos(planted, "x.so") == ["x-1.dist-info"]
    assert conda_metas(["../x.json", "history", "_libgcc-1.json", "a b.json"], "x") == [
        "_libgcc-1.json"
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Name: x\n",
        b"Version: 1\n",
        b"Name: a b\nVersion: 1\n",
        b"Name: x\x1b[2J\nVersion: 1\n",
        b"Name: " + b"x" * 101 + b"\nVersion: 1\n",
        b"\nName: x\nVersion: 1\n",
        b"Summary: " + b"x" * 20_000 + b"\nName: x\nVersion: 1\n",
        b"\xff\xfe\x00" * 99,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_metadata_without_a_plain_name_and_version_is_none(data: bytes) -> None:
    assert parse_metadata(data) is None


@given(st.binary(max_size=400), st.binary(max_size=20))
def test_any_bytes_are_papers_that_name_nothing_or_a_plain_name(data: bytes, path: bytes) -> None:
    record_has(data, path)
    for told in (parse_metadata(data), parse_conda(data, path), dpkg_package("x.list", data)):
        assert told is None or all(part.isascii() and part.isprintable() for part in told)


# ---------------------------------------------------------------- conda, dpkg


def test_a_conda_file_names_its_package() -> None:
    assert parse_conda(CONDA.encode(), b"lib/libopenblas.so") == ("openblas", "0.3.21")
    assert parse_conda(CONDA.encode(), "é.so".encode()) == ("openblas", "0.3.21")
    assert parse_conda(CONDA.encode(), b"lib/libopenblas") is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + '"a.so"',
        '["a.so"]',
        '{"files": "a.so"}',
        '{"files": {"a.so": 1}}',
        '{"files": ["a.so"]}',
        '{"files": ["a.so"], "name": 1, "version": "2"}',
        '{"files": ["a.so"], "name": "x\\u001b", "version": "2"}',
        '{"files": ["a.so"], "name": "x", "version": NaN}',
        '"a.so',
    ],
    ids=lambda text: text[:30],
)
def test_a_conda_file_that_is_none_names_nothing(text: str) -> None:
    assert parse_conda(text.encode(), b"a.so") is None


def test_debians_own_library_is_led_to_its_package(tmp_path: Path) -> None:
    """As dpkg itself says; a file of nobody's, or below /usr/local, has none."""
    if not Path("/var/lib/dpkg/status").exists():
        pytest.skip("no dpkg here")
    path = next(Path("/usr/lib").glob("*-linux-gnu/libc.so.6"))
    shown = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", "libc6"]
    told = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split()
    assert dpkg_owner(str(path)) == (told[0], told[1])
    assert dpkg_owner("/usr/lib/x86_64-linux-gnu/libnobody.so") is None
    assert dpkg_owner("/usr/local/lib/libc.so.6") is None
    assert dpkg_owner("/home/alice/libc.so.6") is None
    assert dpkg_owner(str(path), root=str(tmp_path)) is None


def test_a_package_of_two_architectures_is_told_by_the_lists_name() -> None:
    status = (
        b"Package: libc6\nArchitecture: i386\nVersion: 1\n\n"
        b"Package: libc6\nArchitecture: amd64\nVersion: 2\nDescription: x\n Version: 3\n"
    )
    assert dpkg_package("libc6:amd64.list", status) == ("libc6", "2")
    assert dpkg_package("libc6:arm64.list", status) is None


# ---------------------------------------------------------------- maps


MAPS = (
    b"7f0000000000-7f0000001000 r--p 00000000 fd:01 7                          /usr/lib/libfoo.so\n"
    b"7f0000001000-7f0000003000 r-xp 00001000 fd:01 7                          /usr/lib/libfoo.so\n"
    b"7f0000004000-7f0000005000 r-xp 00000000 00:00 0 \n"
    b"7f0000005000-7f0000006000 r-xp 00000000 fd:01 9     /home/a/x\\012y.so\n"
    b"7f0000006000-7f0000007000 rwxp 00002000 fd:01 8     /home/a/gone.so (deleted)\n"
    b"7f0000007000-7f0000008000 r-xp 00000000 00:00 0     [vdso]\n"
)


def test_the_programs_own_maps_are_read() -> None:
    text = Path("/proc/self/maps").read_bytes()
    kept = executable_lines(text)
    assert 0 < len(kept) < len(text) / 2
    line = next(line for line in kept.splitlines() if b"libc.so.6" in line)
    start = int(line.partition(b"-")[0], 16)
    found = file_at(kept, start + 16, "libc.so.6")
    assert found is not None
    assert (found.start, found.inode) == (start, Path(found.path).stat().st_ino)


def test_an_address_is_led_to_its_file_and_no_other() -> None:
    kept = executable_lines(MAPS)
    found = file_at(kept, 0x7F0000002FFF, "libfoo.so")
    assert found is not None
    assert (found.start, found.offset, found.inode, found.path) == (
        0x7F0000001000,
        0x1000,
        7,
        "/usr/lib/libfoo.so",
    )
    assert file_at(kept, 0x7F0000003000, "libfoo.so") is None, "behind its end"
    assert file_at(kept, 0x7F0000002000, "libbar.so") is None, "another one by now"
    assert file_at(kept, 0x7F0000000010, "libfoo.so") is None, "its data"


def test_a_name_with_a_newline_is_found_as_the_log_shows_it() -> None:
    found = file_at(executable_lines(MAPS), 0x7F0000005000, "x\\x0ay.so")
    assert found is not None
    assert found.path == "/home/a/x\ny.so"


def test_a_deleted_file_is_known_as_such() -> None:
    found = file_at(executable_lines(MAPS), 0x7F0000006000, "gone.so")
    assert found is not None
    assert (found.path, found.is_deleted) == ("/home/a/gone.so", True)


@given(st.binary(max_size=300))
def test_any_bytes_are_maps_without_what_they_do_not_say(data: bytes) -> None:
    kept = executable_lines(data)
    assert executable_lines(kept) == kept
    file_at(kept, 0, "x")
    executable_kib(data)


def test_how_much_is_executable_changes_with_each_library() -> None:
    assert executable_kib(b"Name:\tx\nVmExe:\t    2700 kB\nVmLib:\t   10000 kB\n") == 12700
    assert executable_kib(b"Name:\tpython3\nState:\tZ (zombie)\n") is None


SPEC = """
Name: kerneld-crashing
Version: 1.2~rc1
Release: 3
Summary: -
License: -
BuildArch: noarch
%description
%install
mkdir -p %{{buildroot}}{folder}
echo > %{{buildroot}}{path}
%files
{path}
"""


@pytest.mark.needs_rpm
def test_a_file_of_rpms_is_led_to_its_package(tmp_path: Path) -> None:
    """A package that rpm itself built and registered, in a database of its own."""
    path = tmp_path / "lib" / "_crashing.so"
    path.parent.mkdir()
    path.touch()
    (tmp_path / "x.spec").write_text(SPEC.format(folder=path.parent, path=path))
    own = ("--dbpath", str(tmp_path / "db"))
    folders = (str(tmp_path / "none"), own[1])
    made = tmp_path / "RPMS/noarch/kerneld-crashing-1.2~rc1-3.noarch.rpm"
    for argv in (
        ["rpmbuild", "-bb", "--define", f"_topdir {tmp_path}", *own, tmp_path / "x.spec"],
        ["rpm", *own, "--install", "--justdb", "--nodeps", "--ignorearch", made],
    ):
        subprocess.run(argv, check=True, capture_output=True)
    assert rpm_owner(str(path), folders=folders) == ("kerneld-crashing", "1.2~rc1-3")
    assert rpm_owner(str(tmp_path / "x.spec"), folders=folders) is None
    assert rpm_owner("--eval=%{lua:os.exit(0)}", folders=folders) is None


@pytest.mark.parametrize(
    "said",
    [b"", b"name\n", b"file x is not owned by any package\n", b"\x1b 1\n", b"a b c", b"\xff \xff"],
)
def test_words_of_rpm_that_name_nothing(said: bytes) -> None:
    assert parse_rpm(said) is None
