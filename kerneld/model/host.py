"""The machine on which something died."""

from kerneld.model.base import Record


class Host(Record):
    name: str
    boot_id: str
    linux_release: str
