"""What a container runtime does, in a shell: a root of its own, and pid, mount and network namespaces.

The root is a tmpfs with the host's programs bound into it; nothing else of the host is seen there.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rig import children, wait_for

# What is mounted here is gone with the namespace. `--propagation private` is unshare's default.
MAKE_ROOT = """
set -e
PATH="$PATH:/usr/sbin:/sbin"
mount -t tmpfs -o mode=755 none "$1"
cd "$1"
mkdir -p usr etc dev proc tmp home old "${2#/}"
chmod 1777 tmp home
for folder in /usr /etc /dev "$2"; do mount --rbind "$folder" "${folder#/}"; done
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
mount -t proc proc proc
pivot_root . old
umount -l /old
cd /
shift 2
exec "$@"
"""
CHECKOUT = str(Path(sys.prefix).parent)


class Container:
    """A program as process 1 of namespaces of its own.

    uid: whom it becomes inside; None: root. user: what root is outside, in a user namespace of its own.
    """

    def __init__(
        self,
        root: Path,
        argv: Sequence[str],
        *,
        uid: int | None = None,
        user: int | None = None,
        network: bool = True,
        environ: dict[str, str] | None = None,
    ) -> None:
        root.mkdir(exist_ok=True)
        spaces = ["--mount", "--pid", "--fork", "--kill-child", *(["--net"] if network else [])]
        if user is not None:
            spaces += ["--user", "--map-root-user"]
        become = (
            [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        )
        up = ["sh", "-c", 'ip link set lo up; exec "$@"', "sh"] if network else []
        inner = ["sh", "-c", MAKE_ROOT, "sh", str(root), CHECKOUT, *up, *become, *argv]
        ids = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.process = subprocess.Popen(
            ["unshare", *spaces, *inner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,
            **ids,  # type: ignore[arg-type]
        )

    def await_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    @property
    def first(self) -> int:
        """The host's pid of its process 1."""
        wait_for(lambda: bool(children(self.process.pid)), 10, "a container's first process")
        return children(self.process.pid)[0]

    def end(self) -> None:
        try:
            os.kill(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()
