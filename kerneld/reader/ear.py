"""Whom to hear, where and what; and what hears it, be its messages encrypted or not."""

from dataclasses import dataclass
from socket import AF_INET6, AddressFamily
from typing import Protocol

from kerneld.parse.zmtp import Message

_OWN_HOST = "127.75.68.1"
"""of the loopback's 16 million"""


@dataclass(frozen=True, slots=True)
class Address:
    """Of an iopub socket: a literal IP address and its port, or an absolute path."""

    family: AddressFamily
    where: tuple[str, int] | str

    @property
    def own_host(self) -> str | None:
        """From where to connect: a port there is no kernel's, who binds its own on 127.0.0.1.

        Linux gives a connection any port that is free, those of a kernel that is just restarted too: it
        would not come up. None: Linux may choose.
        """
        is_loopback = not isinstance(self.where, str) and self.where[0].startswith("127.")
        return _OWN_HOST if is_loopback else None

    @property
    def url(self) -> str:
        """As libzmq wants it."""
        if isinstance(self.where, str):
            return f"ipc://{self.where}"
        host, port = self.where
        if self.own_host is not None:
            return f"tcp://{self.own_host}:0;{host}:{port}"
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
