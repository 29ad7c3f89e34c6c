"""A desktop that shows notifications, on a session bus of the test's own."""

import threading
from contextlib import closing
from dataclasses import dataclass, field

from jeepney import DBusAddress, MessageType, new_method_call, new_method_return
from jeepney.io.blocking import open_dbus_connection


@dataclass
class Desktop:
    """What owns org.freedesktop.Notifications on a session bus of the test's own."""

    shown: list[tuple[str, str]] = field(default_factory=list)

    def serve(self, address: str, ready: threading.Event) -> None:
        bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        with closing(open_dbus_connection(address)) as connection:
            name = "org.freedesktop.Notifications"
            connection.send_and_get_reply(new_method_call(bus, "RequestName", "su", (name, 0)))
            ready.set()
            while True:
                try:
                    message = connection.receive()
                except (OSError, EOFError):
                    return
                if message.header.message_type is not MessageType.method_call:
                    continue
                if "Notify" in map(str, message.header.fields.values()):
                    self.shown.append((message.body[3], message.body[4]))
                    connection.send(new_method_return(message, "u", (1,)))
                else:  # notify-send asks who it talks to
                    told = ("test", "kerneld", "1", "1.2")
                    connection.send(new_method_return(message, "ssss", told))
