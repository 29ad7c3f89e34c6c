"""A living IPython's history file into a descriptor that is safe to read."""

from kerneld.errors import UnsafeFile
from kerneld.model.process import Process
from kerneld.proc.files import open_mapped
from kerneld.proc.written import read_written_files

_NAME = "/history.sqlite"


def open_history(process: Process, *, proc_root: str = "/proc") -> int | None:
    """The very file that the process has open to write; None where there is none, or none is safe.

    A path that its user could turn into another's is opened without links, and must be that inode.
    """
    for written in read_written_files(process.key, proc_root=proc_root):
        if not written.path.endswith(_NAME):
            continue
        try:
            return open_mapped(written.path, inode=written.inode, user_uid=process.uid)
        except (OSError, UnsafeFile):
            continue
    return None
