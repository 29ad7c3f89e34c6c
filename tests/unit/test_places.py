"""A fault's address to function and package: real processes, a real reader, planted files."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from places_rig import Loaded, Places, compile_library, descriptors, loaded, write_wheel
from reader_rig import Rig, is_a

from kerneld.model.effects import ForgetMemory
from kerneld.model.facts import SourceState
from kerneld.model.process import ProcessKey
from kerneld.proc.maps import read_mapped_status
from kerneld.sources import executed
from kerneld.sources.executed import Executed


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def places(rig: Rig) -> Iterator[Places]:
    made = Places(rig)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "lib" / "python3.11" / "site-packages"
    (folder / "foo").mkdir(parents=True)
    return folder


@pytest.fixture
def library(site: Path) -> Path:
    return compile_library(site / "foo" / "_foo.so")


# ---------------------------------------------------------------- what is found


def test_a_crash_is_placed_after_the_process_is_gone(places: Places, site: Path, library: Path) -> None:
    write_wheel(site, lists="foo/_foo.so")
    write_wheel(site, lists="bar/_foo.so", name="bar")
    before = descriptors()
    with loaded(library) as at:
        places.see(at)
    place = places.place(at.fault("_foo.so"))
    assert (place.symbol, place.package, place.version) == ("boom", "foo", "1.2")
    assert (place.path, place.unknown) == (str(library), ())
    assert descriptors() == before


def test_a_wheel_is_found_in_each_of_its_folders(places: Places, site: Path) -> None:
    """Beside site-packages (mkl installs into lib/), and with pip's --target, of any name."""
    beside = compile_library(site.parent.parent / "libfoo.so")
    target = site.parent / "target" / "pkg"
    target.mkdir(parents=True)
    write_wheel(site, lists="../../libfoo.so")
    write_wheel(target.parent, lists="pkg/_bar.so", name="bar", version="3")
    for path, package in ((beside, "foo"), (compile_library(target / "_bar.so"), "bar")):
        with loaded(path) as at:
            places.see(at)
            assert places.place(at.fault(path.name)).package == package
        places.source.control(ForgetMemory(at.process.key))


def test_many_wheels_are_searched(places: Places, site: Path, library: Path) -> None:
    for number in range(200):
        write_wheel(site, lists=f"x{number}/_foo.so", name=f"x{number}")
    write_wheel(site, lists="foo/_foo.so", name="zoo")
    with loaded(library) as at:
        places.see(at)
        began_s = time.monotonic()
        assert places.place(at.fault("_foo.so")).package == "zoo"
    assert time.monotonic() - began_s < 2


def test_a_conda_package_is_found(places: Places, site: Path, library: Path) -> None:
    prefix = site.parent.parent.parent
    meta = {"name": "foo-c", "version": "4", "files": [str(library.relative_to(prefix))]}
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "foo-c-4-h1.json").write_text(json.dumps(meta))
    (prefix / "conda-meta" / "bar-4-h1.json").write_text("[" * 9999)
    with loaded(library) as at:
        places.see(at)
        place = places.place(at.fault("_foo.so"))
    assert (place.package, place.version) == ("foo-c", "4")


def test_the_systems_library_is_debians(places: Places, library: Path) -> None:
    if not Path("/var/lib/dpkg/status").exists():
        pytest.skip("no dpkg here")
    with loaded(library) as at:
        places.see(at)
        ip = f"{at.address_of('libc.so.6'):x}"
        place = places.place(replace(at.fault("libc.so.6"), ip=ip))
    assert place.package == "libc6"


def test_a_library_of_no_package_says_so(places: Places, library: Path) -> None:
    with loaded(library) as at:
        places.see(at)
        place = places.place(at.fault("_foo.so"))
    assert (place.symbol, place.package) == ("boom", None)
    assert "no list" in place.unknown[0]


def test_what_was_never_seen_is_told(places: Places, library: Path) -> None:
    with loaded(library) as at:
        place = places.place(at.fault("_foo.so"))
        assert "was not watched" in place.unknown[0]
        places.see(at)
        assert "after the last look" in places.place(at.fault("other.so")).unknown[0]


def test_a_library_that_comes_in_a_cell_is_seen_within_it(
    places: Places, site: Path, library: Path
) -> None:
    """The first look finds nothing of it; a cell begins, and the next look follows."""
    late = compile_library(site / "foo" / "_late.so")
    with loaded(library) as at:
        places.see(at)
        at.load(late)
        assert "after the last look" in places.place(at.fault("_late.so")).unknown[0]
        places.source.mark_busy(at.process.key, True)
        places.wait_for_look()
        assert places.place(at.fault("_late.so")).symbol == "boom"


# ---------------------------------------------------------------- what was planted


def symlink(library: Path) -> None:
    library.rename(library.with_suffix(".real"))
    library.symlink_to(library.with_suffix(".real"))


def linked_folder(library: Path) -> None:
    library.parent.rename(library.parent.with_name("real"))
    library.parent.symlink_to(library.parent.with_name("real"))


def fifo(library: Path) -> None:
    library.rename(library.with_suffix(".real"))
    os.mkfifo(library)


def folder(library: Path) -> None:
    library.rename(library.with_suffix(".real"))
    library.mkdir()


def another(library: Path) -> None:
    library.rename(library.with_suffix(".real"))
    library.write_bytes(library.with_suffix(".real").read_bytes())


def moved(library: Path) -> None:
    library.rename(library.with_suffix(".real"))


@pytest.mark.parametrize("plant", [symlink, linked_folder, fifo, folder, another, moved])
def test_only_the_very_file_that_was_mapped_is_opened(
    places: Places, site: Path, library: Path, plant: Callable[[Path], None]
) -> None:
    write_wheel(site, lists="foo/_foo.so")
    before = descriptors()
    with loaded(library) as at:
        places.see(at)
        plant(library)
        began_s = time.monotonic()
        place = places.place(at.fault("_foo.so"))
    assert (place.symbol, place.package) == (None, None)
    assert place.unknown[0].startswith("_foo.so: ")
    assert time.monotonic() - began_s < 1
    assert descriptors() == before


def test_a_deleted_library_is_not_looked_for(places: Places, library: Path) -> None:
    """pip's upgrade of a package that is in use."""
    with loaded(library) as at:
        library.unlink()
        places.see(at)
        assert "deleted or replaced" in places.place(at.fault("_foo.so")).unknown[0]


def test_what_its_user_could_not_read_is_not_read_for_it(places: Places, library: Path) -> None:
    library.chmod(0o700)
    with loaded(library) as at:
        places.see(at)
        place = places.place(at.fault("_foo.so", uid=at.process.uid + 1))
    assert place.unknown == ("_foo.so: its user could not read it",)


def test_planted_papers_are_passed_over(places: Places, site: Path, library: Path) -> None:
    """Links, FIFOs, folders and endless files where RECORD or METADATA is expected; names that harm."""
    secret = site / "secret"
    secret.write_text("foo/_foo.so,sha256=x,1\n")
    for number, plant in enumerate(
        (
            lambda path: path.symlink_to(secret),
            lambda path: os.mkfifo(path),
            lambda path: path.mkdir(),
            lambda path: path.open("wb").truncate(1 << 40),
            lambda path: path.write_bytes(b"\0" * 4096),
        )
    ):
        info = site / f"a{number}-1.dist-info"
        info.mkdir()
        plant(info / "RECORD")
    (site / "linked-1.dist-info").symlink_to(write_wheel(site, lists="y", name="y"))
    (site / "new\nline-1.dist-info").mkdir()
    (site / "../../conda-meta").resolve().mkdir()
    with loaded(library) as at:
        places.see(at)
        assert places.place(at.fault("_foo.so")).package is None
        write_wheel(site, lists="foo/_foo.so", name="zz", version="9")
        assert places.place(at.fault("_foo.so")).package == "zz"


def test_a_name_with_a_newline_is_placed_as_the_log_shows_it(places: Places, site: Path) -> None:
    library = compile_library(site / "foo" / "a\nOut of memory: Killed process 1.so")
    with loaded(library) as at:
        places.see(at)
        place = places.place(at.fault("a\\x0aOut of memory: Killed process 1.so"))
    assert place.symbol == "boom"


def test_a_library_made_to_harm_the_reader_costs_its_own_place_alone(
    places: Places, rig: Rig, library: Path
) -> None:
    """While it is mapped its file is overwritten: headers that lead anywhere, symbols without end."""
    pid, data = rig.pid, bytearray(library.read_bytes())
    with loaded(library) as at:
        places.see(at)
        for change in (b"\xff" * 24, b"\x7f" + b"\xff" * 23, b"\x00" * 24):
            with library.open("r+b") as file:
                file.write(data[:40] + change)
            assert places.place(at.fault("_foo.so")).symbol is None
        with library.open("r+b") as file:
            file.truncate(0)
        assert "no 64-bit ELF" in places.place(at.fault("_foo.so")).unknown[0]
        with library.open("r+b") as file:
            file.write(data)
        assert places.place(at.fault("_foo.so")).symbol == "boom"
    assert rig.pid == pid, "the reader lives"


def test_a_reader_that_stands_still_leaves_the_place_unknown(
    places: Places, rig: Rig, library: Path
) -> None:
    with loaded(library) as at:
        places.see(at)
        told, stuck = len(rig.told), rig.pid
        os.kill(stuck, signal.SIGSTOP)
        try:
            place = places.place(at.fault("_foo.so"))
        finally:
            os.kill(stuck, signal.SIGCONT)
    assert place.symbol is None
    assert "did not answer" in place.unknown[0]
    assert not [fact for fact in rig.told[told:] if is_a(SourceState)(fact)]


# ---------------------------------------------------------------- faulthandler's file


def plain_log(log: Path) -> None:
    """It stays what it is."""


def link(log: Path) -> None:
    log.rename(log.with_suffix(".real"))
    log.symlink_to(log.with_suffix(".real"))


def other_file(log: Path) -> None:
    log.write_bytes(log.rename(log.with_suffix(".real")).read_bytes())


def pipe(log: Path) -> None:
    log.unlink()
    os.mkfifo(log)


def old(log: Path) -> None:
    os.utime(log, (1, 1))


@pytest.mark.parametrize("plant", [plain_log, link, other_file, pipe, old])
def test_only_the_file_that_faulthandler_had_open_is_read(
    places: Places, site: Path, library: Path, plant: Callable[[Path], None]
) -> None:
    log = site / "fault.log"
    before = descriptors()
    with loaded(log) as at:
        places.see(at)
        at.crash()
        plant(log)
        place = places.place(at.fault(None))
    assert descriptors() == before
    assert (place.ip, place.symbol, place.unknown) == (None, None, ())
    if plant is not plain_log:
        assert place.trace is None
        return
    assert place.trace is not None
    assert (place.trace.said, place.trace.file) == ("Segmentation fault", str(log))
    assert [frame.function for frame in place.trace.frames] == ["<module>", "string_at"]


def test_a_process_without_faulthandler_has_its_files_left_alone(places: Places, library: Path) -> None:
    with loaded(library) as at:
        places.see(at)
        at.crash()
        assert places.place(at.fault(None)).trace is None


# ---------------------------------------------------------------- what is kept


def test_what_is_kept_is_bounded(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with too many files has none; of all together the oldest go."""
    with loaded(library) as one, loaded(library) as two:
        kept = Executed(mapped_pages=lambda _: None)
        kept.add(one.process, 0.0)
        kept.look(0.0)
        size = kept.size_bytes
        assert 0 < size <= executed.MAX_BYTES
        monkeypatch.setattr(executed, "MAX_BYTES_OF_ALL", size + size // 2)
        kept.add(two.process, 0.0)
        kept.look(1.0)
        assert kept.size_bytes <= size + size // 2
        assert isinstance(kept.find(one.process.key, one.address, "_foo.so"), str)
        assert not isinstance(kept.find(two.process.key, two.address, "_foo.so"), str)
        kept.forget(two.process.key)
        kept.forget(one.process.key)
        assert kept.size_bytes == 0
        monkeypatch.setattr(executed, "MAX_BYTES", 10)
        kept.add(two.process, 2.0)
        kept.look(2.0)
        told = kept.find(two.process.key, two.address, "_foo.so")
        assert "too many" in str(told)


def test_a_number_that_is_another_process_by_now_is_not_read(library: Path) -> None:
    with loaded(library) as at:
        stranger = at.process.model_copy(update={"key": _started_before(at)})
        kept = Executed(mapped_pages=lambda _: None)
        kept.add(stranger, 0.0)
        kept.look(0.0)
        assert kept.size_bytes == 0


def _started_before(at: Loaded) -> ProcessKey:
    key = at.process.key
    return key.model_copy(update={"start_ticks": key.start_ticks - 1})


class WholeLooks:
    """The moments at which all is read of a process whose cell began at 100 s."""

    def __init__(self, at: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.seen_s: list[float] = []
        self._at = at
        monkeypatch.setattr(executed, "read_mapped_status", self._read)

    def _read(self, pid: int, *, proc_root: str) -> tuple[int, bool] | None:
        self.seen_s.append(self.now_s)
        return read_mapped_status(pid, proc_root=proc_root)

    def play(self, pages_at: Callable[[float], int], *, until_s: float) -> list[float]:
        """pages_at: how much is mapped at a moment. The cell ends then."""
        key = self._at.process.key
        kept = Executed(mapped_pages=lambda _: pages_at(self.now_s))
        kept.add(self._at.process, self.now_s)
        kept.look(self.now_s)
        kept.mark_busy(key, True, self.now_s)
        while (due_s := kept.next_look_s() or until_s) < until_s:
            self.now_s = due_s
            kept.look(due_s)
        self.now_s = until_s
        kept.mark_busy(key, False, until_s)
        kept.look(until_s)
        return self.seen_s


@pytest.fixture
def whole_looks(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeLooks]:
    with loaded(library) as at:
        yield WholeLooks(at, monkeypatch)


def test_of_a_process_that_maps_no_more_only_the_first_look_is_whole(whole_looks: WholeLooks) -> None:
    """As a cell begins, as it ends, and every 2 s meanwhile a look is whole all the same."""
    seen_s = whole_looks.play(lambda now_s: 120 if now_s > 100.3 else 90, until_s=110.5)
    assert seen_s[:3] == pytest.approx([100.0, 100.05, 100.4])
    assert all(1.9 < later - earlier < 4 for earlier, later in pairwise(seen_s[2:-1]))
    assert seen_s[-1] == 110.5


def test_what_is_mapped_where_an_array_went_is_looked_at(whole_looks: WholeLooks) -> None:
    """`del big; import torch`: less is mapped than before, and new code among it."""
    pages = {100.15: 1000, 100.3: 100, 101.0: 200}
    seen_s = whole_looks.play(
        lambda now_s: next(size for end_s, size in pages.items() if now_s < end_s), until_s=100.9
    )
    assert seen_s == pytest.approx([100.0, 100.05, 100.4, 100.9])


def test_looks_are_dense_as_a_cell_begins_and_sparse_at_rest(library: Path) -> None:
    with loaded(library) as at:
        kept = Executed(mapped_pages=lambda _: None)
        kept.add(at.process, 100.0)
        kept.look(100.0)
        assert kept.next_look_s() == 100.0 + executed.REST_LOOK_S
        kept.mark_busy(at.process.key, True, 101.0)
        looks, now_s = [], 101.0
        while now_s < 110:
            due_s = kept.next_look_s()
            assert due_s is not None
            now_s = due_s
            kept.look(now_s)
            looks.append(now_s - 101.0)
        assert looks[:4] == pytest.approx([0.05, 0.1, 0.2, 0.4])
        assert looks[-1] - looks[-2] == pytest.approx(executed.BUSY_LOOK_S)
    kept.look(200.0)
    assert kept.next_look_s() is None, "it has ended"
    assert kept.find(at.process.key, at.address, "_foo.so"), "and is known still"
