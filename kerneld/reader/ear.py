"""Whom to hear, where and what; and what hears it, be its messages encrypted or not."""

from dataclasses import dataclass
from socket import AF_INET6, AddressFamily
from typing import Protocol

from kerneld.parse.zmtp import Message


@dataclass(frozen=True, slots=True)
class Address:
    """Of an iopub socket: a literal IP address and its port, or an absolute path."""

    family: AddressFamily
    where: tuple[str, int] | str

    @property
    def url(self) -> str:
        """As libzmq wants it."""
        if isinstance(self.where, str):
            return f"ipc://{self.where}"
        host, port = self.where
        return f"tcp://[{host}]:{port}" if self.family is AF_INET6 else f"tcp://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Ear:
    """One wanted subscription: whose, where, to which topics."""

    handle: int
    address: Address
    topics: tuple[bytes, ...]
    server_key: bytes | None = None
    """of a kernel that speaks CURVE: its public one; any client is let in that knows it"""


class Subscription(Protocol):
    """One connection to a publisher, from its opening to its end; nothing here waits.

    hear raises OSError or zmtp.Broken when it has ended, zmtp.Refused when there is nothing to hear.
    """

    def fileno(self) -> int: ...

    @property
    def events(self) -> int:
        """What hear waits for, as epoll has it."""
        ...

    @property
    def is_subscribed(self) -> bool:
        """Shook hands, and was told the topics."""
        ...

    @property
    def has_more(self) -> bool:
        """hear has something to say though fileno shows nothing."""
        ...

    @property
    def held_bytes(self) -> int:
        """Of messages that are not whole yet."""
        ...

    def hear(self) -> list[Message]:
        """A turn's messages."""
        ...

    def narrow(self, wide: bytes, own: tuple[bytes, ...]) -> None:
        """Hear these topics in place of that one, without a gap."""
        ...

    def close(self) -> None: ...
