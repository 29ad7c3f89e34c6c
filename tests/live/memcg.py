"""A memory cgroup of one's own, v1 or v2 as the machine has it; and what Linux logs of its kills."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Self

from rig import wait_for

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class MemoryCgroup:
    """Made below the hierarchy's root, with a limit; removed at the end."""

    def __init__(self, name: str, limit_bytes: int) -> None:
        self.is_v2 = not V1.is_dir()
        self.folder = (V2 if self.is_v2 else V1) / f"kerneld-test-{os.getpid()}-{name}"
        self.limit_bytes = limit_bytes

    def __enter__(self) -> Self:
        if self.is_v2:
            (V2 / "cgroup.subtree_control").write_text("+memory")
        self.folder.mkdir()
        limit = "memory.max" if self.is_v2 else "memory.limit_in_bytes"
        (self.folder / limit).write_text(str(self.limit_bytes))
        if self.is_v2 and (self.folder / "memory.swap.max").exists():
            (self.folder / "memory.swap.max").write_text("0")
        return self

    def __exit__(self, *_: object) -> None:
        wait_for(self._removed, 20, f"{self.folder} emptied")

    def _removed(self) -> bool:
        try:
            self.folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    def take(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))

    def kills(self) -> int:
        name = "memory.events" if self.is_v2 else "memory.oom_control"
        rows = dict(line.split() for line in (self.folder / name).read_text().splitlines())
        return int(rows["oom_kill"])

    def provoke_kill(self) -> None:
        """Let a bystander die of the limit, so that the counter stands above 0."""
        code = f"import sys; sys.stdin.readline(); b'x' * {self.limit_bytes * 2}"
        argv = [sys.executable, "-c", code]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as bystander:
            self.take(bystander.pid)
            bystander.communicate("go\n", timeout=30)
        wait_for(lambda: self.kills() > 0, 10, "a kill counted by the cgroup")


class LogWitness:
    """Reads /dev/kmsg from now on, independently of kerneld."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)
        self._text = ""

    def text(self) -> str:
        while True:
            try:
                self._text += os.read(self._fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return self._text
            except BrokenPipeError:
                continue

    def oom_rss_bytes(self, pid: int) -> int | None:
        """The rss total of the line by which Linux says that it killed this process."""
        kill = rf"Killed process {pid} \(.*?\) total-vm:\d+kB, (anon-rss:.*?kB, shmem-rss:\d+kB)"
        line = re.search(kill, self.text())
        return sum(map(int, re.findall(r":(\d+)kB", line[1]))) * 1024 if line else None

    def close(self) -> None:
        os.close(self._fd)
