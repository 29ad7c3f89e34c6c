"""What the reader does with a connection file: its bytes, whom it may hear, and where."""

import os
import stat
from socket import AF_INET, AF_INET6, AF_UNIX

from kerneld.errors import SourceUnavailable
from kerneld.model.process import Connection
from kerneld.parse.connection import MAX_BYTES
from kerneld.parse.iopub import Publisher, knows_scheme, language_of
from kerneld.reader.ear import Address

_MAX_SOCKET_PATH_BYTES = 107


def read_file(fd: int) -> tuple[bytes, str]:
    """The bytes behind a descriptor from its start, one more than allowed at most; its folder.

    The folder is what Linux says of the open file, free of links, not what a user says.
    """
    return os.pread(fd, MAX_BYTES + 1, 0), os.path.dirname(os.readlink(f"/proc/self/fd/{fd}"))


def publisher_of(handle: int, connection: Connection, key: bytes, implementation: str) -> Publisher:
    """Raises SourceUnavailable where messages can't be proven: they are the user's, or a stranger's."""
    scheme = connection.signature_scheme
    if not key:
        raise SourceUnavailable("its connection file has no key, so that nothing it says can be proven")
    if not knows_scheme(scheme):
        raise SourceUnavailable("its signature scheme is not known")
    language = language_of(implementation, connection.kernel_name)
    return Publisher(handle, key, scheme, language)


def address_of(connection: Connection, *, folder: str, server_key: bytes | None) -> Address:
    """Where this kernel's iopub is heard.

    Raises SourceUnavailable with the reason where kerneld can't or won't listen.
    """
    if connection.encrypted:
        _must_have_curve(server_key)
    if connection.transport == "ipc":
        return Address(AF_UNIX, _socket_path(connection, folder))
    family = AF_INET6 if ":" in connection.ip else AF_INET
    return Address(family, (connection.ip, connection.iopub_port))


def _must_have_curve(server_key: bytes | None) -> None:
    """pyzmq takes 5 MiB: it is loaded with the first kernel that encrypts, and by no other."""
    if server_key is None:
        raise SourceUnavailable("its messages are encrypted (CURVE), and its file has no public key")
    try:
        import zmq
    except ImportError:
        raise SourceUnavailable("its messages are encrypted, and pyzmq can't be loaded here") from None
    if not zmq.has("curve"):
        raise SourceUnavailable("its messages are encrypted, and ZeroMQ was built without CURVE here")


def _socket_path(connection: Connection, folder: str) -> str:
    path = f"{connection.ip}-{connection.iopub_port}"
    parent = os.path.dirname(path)
    if not os.path.isabs(path) or not f"{parent}/".startswith(f"{folder}/"):
        raise SourceUnavailable("its ipc socket does not lie beside its connection file")
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise SourceUnavailable("its ipc socket's path is too long")
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode) and os.path.realpath(parent) == parent
    except FileNotFoundError:
        raise SourceUnavailable("its ipc socket is not there") from None
    except PermissionError:
        is_socket = True
    if not is_socket:
        raise SourceUnavailable("its ipc socket is no socket, or behind a symbolic link")
    if not os.access(path, os.W_OK, effective_ids=True):
        raise SourceUnavailable("its ipc socket is its user's alone; the reader has no rights there")
    return path
