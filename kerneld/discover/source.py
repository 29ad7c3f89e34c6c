"""The discovery thread: scans, folders, ports and removals into facts about who lives."""

import os
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from kerneld.discover.admission import Admission
from kerneld.discover.awaited import Awaited
from kerneld.discover.bare import Bare, Found
from kerneld.discover.candidates import Door, pin, see
from kerneld.discover.folders import Folders, folders_of
from kerneld.discover.known import Known
from kerneld.discover.ports import Ports
from kerneld.discover.scan import Named, ProcessScan
from kerneld.discover.table import FileTable
from kerneld.model.effects import Effect, FindListener, ProbePorts, ReleaseFile, WatchFile
from kerneld.model.facts import PortsHeard, PortsSilent, ProcessChanged, ProcessSeen, SourceState
from kerneld.model.process import Process
from kerneld.proc.process import read_argv, read_cgroups
from kerneld.sources.source import Mailbox, Outlet, beat_s

SCAN_S = 1.0
"""without the proc connector; a scan lists /proc and reads only what is new"""
HINTED_SCAN_S = 4.0
"""with it: an exec wakes the scan at once"""
KNOWN_S, NEW_KNOWN_S, NEW_FOR_S = 4.0, 1.0, 30.0
"""a look at a kernel's cgroup costs 28 us; managers move a process soon after its start"""
PROBE_S = 0.1
MAX_EXECUTED = 1024
UNREAD_GIVES_UP_S = 30.0
"""a file is written in several steps, and may be seen empty: it is opened again until it is read"""
REMOVAL_POLL_S = 0.05
REMOVAL_WATCH_S = 15.0
FOLDERS_S = 30.0


class DiscoverySource:
    """Finds kernels by their processes first, by runtime folders second."""

    name = "discovery"

    def __init__(
        self, door: Door, *, extra_folders: tuple[str, ...], max_kernels_per_user: int
    ) -> None:
        self._door = door
        self._extra = extra_folders
        self._mailbox = Mailbox()
        self._scan = ProcessScan(door.proc_root)
        self._table = FileTable(door.proc_root)
        self._folders = Folders(self._mailbox.wake)
        self._ports = Ports(door.proc_root)
        self._unread = Awaited(UNREAD_GIVES_UP_S)
        self._removals = Awaited(REMOVAL_WATCH_S)
        self._processes = Known(max_kernels_per_user=max_kernels_per_user)
        self._newest_at = float("-inf")
        self._bare = Bare(door, self._table, max_per_user=max_kernels_per_user)
        self._admission = Admission(
            self._processes,
            self._table,
            proc_root=door.proc_root,
            max_kernels_per_user=max_kernels_per_user,
        )
        self._folders_at = float("-inf")
        self._hinted_at = float("-inf")
        self._polled_at = float("-inf")
        self._hint = False
        self.hears_execs: Callable[[], bool] = lambda: False
        """whether `hint` is called at each exec now"""
        self._executed: deque[int] = deque(maxlen=MAX_EXECUTED)

    # ------------------------------------------------------------------ from other threads

    def control(self, effect: Effect) -> None:
        if isinstance(effect, ProbePorts | FindListener | WatchFile | ReleaseFile):
            self._mailbox.put(effect)

    def hint(self, pids: Sequence[int]) -> None:
        """These processes executed a program: look at them now; none named: look at all."""
        self._executed.extend(pids)
        self._hint |= not pids
        self._hinted_at = time.monotonic()
        self._mailbox.wake()

    def wake(self) -> None:
        self._mailbox.wake()

    # ------------------------------------------------------------------ the thread

    def run(self, outlet: Outlet) -> None:
        self._folders = Folders(self._mailbox.wake)  # an observer runs once
        self._folders_at = float("-inf")
        self._folders.start()
        self._admission.begin()
        outlet.emit(SourceState(datetime.now(UTC), self.name, True))
        poll = select.poll()
        poll.register(self._mailbox.fd, select.POLLIN)
        scan_at = known_at = 0.0
        try:
            while not outlet.stopping.is_set():
                outlet.tick()
                poll.poll(1000 * max(0.0, min(scan_at - time.monotonic(), self._pause())))
                for order in self._mailbox.drain():
                    self._obey(order, outlet)
                self._look_at_executed(outlet)
                if self._hint or time.monotonic() >= scan_at:
                    self._hint = False
                    self._look(outlet)
                    scan_at = time.monotonic() + beat_s(self._scan_pause())
                self._look_at_files(outlet)
                if time.monotonic() >= known_at:
                    known_at = time.monotonic() + beat_s(self._known_pause())
                    self._look_at_known(outlet)
                self._look_again_and_again(outlet)
        finally:
            self._folders.stop()

    def _look_again_and_again(self, outlet: Outlet) -> None:
        """What is polled, at its own pace: a thousand new files a second wake this thread, too."""
        if time.monotonic() - self._polled_at < REMOVAL_POLL_S / 2:
            return
        for _, handle in self._unread.look():
            self._open(handle, outlet)
        for found in self._bare.look(time.monotonic(), self._folders):
            self._tell_bare(found, outlet)
        news = self._admission.news()
        if news is not None:
            outlet.emit(news)
        self._look_at_ports(outlet)
        self._look_for_removals(outlet)
        self._polled_at = time.monotonic()

    def _pause(self) -> float:
        if self._removals:
            return REMOVAL_POLL_S
        if self._ports.awaited or self._unread:
            return PROBE_S
        bare_at = self._bare.next_at()
        bare_s = float("inf") if bare_at is None else max(PROBE_S, bare_at - time.monotonic())
        return min(beat_s(self._known_pause()), bare_s)

    def _known_pause(self) -> float:
        return NEW_KNOWN_S if time.monotonic() - self._newest_at < NEW_FOR_S else KNOWN_S

    def _scan_pause(self) -> float:
        """Execs that are heard make the regular scan rare; a young fork is looked at again."""
        if self._scan.has_young() and time.monotonic() - self._hinted_at < 1.0:
            return 0.2
        return HINTED_SCAN_S if self.hears_execs() else SCAN_S

    def _obey(self, order: Effect, outlet: Outlet) -> None:
        match order:
            case ProbePorts():
                self._unread.drop(order.key.pid)
                self._ports.probe(order)
            case WatchFile():
                self._removals.add(order.handle, order.handle)
            case ReleaseFile():
                self._table.release(order.handle)
                self._removals.drop(order.handle)
            case FindListener() if not self._table.is_elsewhere(order.handle):
                self._ports.find(order)

    # ------------------------------------------------------------------ processes

    def _look_at_executed(self, outlet: Outlet) -> None:
        """A kernel without ipykernel lives 30 ms: it is looked at before any other."""
        while self._executed:
            named = self._scan.look_at(self._executed.popleft())
            if named is not None:
                self._take(named, outlet)

    def _look(self, outlet: Outlet) -> None:
        for some in self._scan.look():
            for named in some:
                self._take(named, outlet)
            outlet.tick()
            self._look_at_executed(outlet)
        self._look_for_folders()

    def _look_at_known(self, outlet: Outlet) -> None:
        """Managers move a process into its cgroup after it began; its path is cheap to compare."""
        for pid, (process, groups) in self._processes.items():
            now = read_cgroups(pid, proc_root=self._door.proc_root)
            if not now:
                self._processes.drop(pid)
            elif now != groups:
                self._look_again(process, now, outlet)

    def _take(self, named: Named, outlet: Outlet) -> None:
        if named.path is not None:
            self._tell(named, outlet)
        elif not self._bare.add(named, time.monotonic()):
            self._scan.put_off(named.pid)

    def _tell_bare(self, found: Found, outlet: Outlet) -> None:
        told = self._tell(found.named, outlet)
        if told and found.opened is not None:
            outlet.emit(found.opened)
        elif found.opened is not None:
            os.close(found.opened.fd)
            self._table.release(found.opened.handle)

    def _tell(self, named: Named, outlet: Outlet) -> bool:
        if not self._admission.admits(named.pid):
            self._scan.put_off(named.pid)
            return False
        seen = see(named, self._door, self._table.find)
        if seen is None:
            self._scan.forget(named.pid)
            return False
        self._ports.found(seen.handle)
        self._watch_folders_of(seen)
        self._newest_at = time.monotonic()
        groups = read_cgroups(named.pid, proc_root=self._door.proc_root)
        self._processes.put(seen.process, groups, seen.handle)
        outlet.emit(seen)
        self._unread.add(named.pid, seen.handle)
        self._open(seen.handle, outlet)
        return True

    def _look_again(self, before: Process, groups: bytes, outlet: Outlet) -> None:
        """A known process with its limits as they are now. A dying one is in v1's root cgroup."""
        pinned = pin(before.pid, self._door)
        if pinned is None:
            return
        os.close(pinned.pidfd)
        process = pinned.process
        if pinned.argv and process.key == before.key:
            self._processes.renew(process, groups)
            if process != before:
                outlet.emit(ProcessChanged(datetime.now(UTC), process))

    def _open(self, handle: int, outlet: Outlet) -> None:
        opened = self._table.refresh(handle)
        if opened is not None:
            outlet.emit(opened)

    # ------------------------------------------------------------------ ports

    def _look_at_ports(self, outlet: Outlet) -> None:
        for at, key, heard in self._ports.looked():
            if heard and key.pid in self._processes:
                self._look_again(*self._processes.get(key.pid), outlet)
            outlet.emit((PortsHeard if heard else PortsSilent)(at, key))
        for handle, pid in self._ports.listeners():
            path, argv = self._table.path(handle), read_argv(pid, proc_root=self._door.proc_root)
            if path and argv:
                self._tell(Named(pid, tuple(argv), path), outlet)

    # ------------------------------------------------------------------ files

    def _look_at_files(self, outlet: Outlet) -> None:
        """New and rewritten files in the folders."""
        for uid, path in self._folders.changed():
            if uid < 0 or not self._wanted(uid):
                continue
            for found in self._bare.appeared(path, self._folders):
                self._tell_bare(found, outlet)
            if not self._admission.admits_file(uid, path):
                self._folders.missed()
                continue
            opened = self._table.open_named(uid, path)
            if opened is not None:
                outlet.emit(opened)

    def _look_for_removals(self, outlet: Outlet) -> None:
        for key, handle in self._removals.look():
            removed = self._table.removal(handle)
            if removed is not None:
                outlet.emit(removed)
                self._removals.drop(key)

    # ------------------------------------------------------------------ folders

    def _wanted(self, uid: int) -> bool:
        return self._door.only_uid is None or self._door.only_uid == uid

    def _look_for_folders(self) -> None:
        """The folders of everybody who may run kernels; new users and new folders are noticed."""
        if time.monotonic() - self._folders_at < FOLDERS_S:
            return
        self._folders_at = time.monotonic()
        self._folders.look(self._door.only_uid, self._extra)

    def _watch_folders_of(self, seen: ProcessSeen) -> None:
        """A kernel's own environment says where its user's files lie, if it has our root."""
        if seen.file_elsewhere:
            return
        for folder in folders_of(seen.process):
            self._folders.add(folder, seen.process.uid)
