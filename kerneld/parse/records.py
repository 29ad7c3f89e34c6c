"""Lines of a file to Entries: what spans several lines there (the journal's export format, records
of /dev/kmsg with their dictionary, partial lines of containers) becomes one.
"""

import re
from dataclasses import dataclass, field, replace

from kerneld.model.vocabulary import Trust
from kerneld.parse import journal
from kerneld.parse.entry import Entry
from kerneld.parse.prefixes import unwrap
from kerneld.parse.procfs import text_of

MAX_FIELDS = 512
MAX_FIELD_BYTES = 1 << 16
MAX_PARTIAL = 16_384
MAX_BINARY_BYTES = 768 << 20
"""journald's own limit of a field: a longer one is damage"""

_EXPORT_FIELD = re.compile(rb"([A-Z_][A-Z0-9_]{0,63})=(.*)", re.DOTALL)
_OPENED = re.compile(r"\s*(?:\}\s*,\s*)?\{")
_BINARY_FIELD = re.compile(rb"[A-Z_][A-Z0-9_]{0,63}")


@dataclass(slots=True)
class _Binary:
    """A field of the export format that is being read: eight bytes of length, then the value.

    seen: its bytes so far, those that are not kept counted.
    """

    name: str
    held: bytearray = field(default_factory=bytearray)
    seen: int = 0
    has_begun: bool = False

    def add(self, raw: bytes, lost: int) -> bool:
        """A further line of it; whether it is complete. lost: bytes of the line's end, cut off."""
        piece = b"\n" + raw if self.has_begun else raw
        self.has_begun = True
        self.seen += len(piece) + lost
        self.held += piece[: max(0, 8 + MAX_FIELD_BYTES - len(self.held))]
        return self.seen >= 8 and (self.seen >= 8 + self.length or self.length > MAX_BINARY_BYTES)

    @property
    def lacking(self) -> int:
        return 0 if self.seen < 8 else max(0, 8 + self.length - self.seen - 1)

    @property
    def length(self) -> int:
        return int.from_bytes(self.held[:8], "little")

    @property
    def value(self) -> str:
        return text_of(bytes(self.held[8 : 8 + min(self.length, MAX_FIELD_BYTES)]))


class Records:
    """One line at a time, without its newline, to the Entry that it completes, if any."""

    def __init__(self) -> None:
        self._fields: dict[str, object] | None = None
        self._binary: _Binary | None = None
        self._partial: Entry | None = None
        self._object: list[str] = []
        self._is_kmsg = False
        self._is_mixed = False

    @property
    def is_inside(self) -> bool:
        """A record has begun and needs further lines."""
        return bool(self._fields is not None or self._partial or self._object)

    @property
    def lacks_bytes(self) -> int:
        """So many bytes at least stand before the newline that ends the value which is being read."""
        return 0 if self._binary is None else self._binary.lacking

    def feed(self, raw: bytes, lost: int = 0) -> Entry | None:
        """A line, or several of a value that lacks bytes; lost: bytes of its end that were cut off."""
        if self._fields is not None or raw.startswith(b"__CURSOR="):
            return self._exported(raw, lost)
        self._is_mixed = self._is_mixed or bool(raw.strip())
        if self._object or (b"{" in raw and raw.strip() == b"{"):
            return self._indented(raw)
        if self._is_kmsg and raw.startswith(b" ") and _EXPORT_FIELD.fullmatch(raw[1:]):
            return None
        entry = unwrap(text_of(raw))
        self._is_kmsg = entry.shape == "m"
        return self._whole(entry)

    def close(self) -> Entry | None:
        """The record that the end of the log completes."""
        entry, self._partial = self._partial, None
        if self._fields is not None:
            entry = self._end_of_record()
        if self._object:
            entry = self._end_of_object()
        return entry

    def _indented(self, raw: bytes) -> Entry | None:
        """A JSON object over several lines, as `journalctl -o json-pretty` has it."""
        text = text_of(raw[:MAX_FIELD_BYTES]).rstrip()
        if _OPENED.fullmatch(text):
            # the next of a list, or one inside: the innermost objects are the records
            entry = self._end_of_object() if "}" in text else None
            self._object = [text.rpartition("{")[0].replace("}", " ").replace(",", " ") + "{"]
            return entry
        self._object.append(text)
        if text.strip().removesuffix(",") == "}" or len(self._object) > MAX_FIELDS:
            return self._end_of_object()
        return None

    def _end_of_object(self) -> Entry | None:
        lines, self._object = self._object, []
        return journal.of_lines(lines)

    def _whole(self, entry: Entry) -> Entry | None:
        first, self._partial = self._partial, None
        if first is not None and first.shape[:1] == entry.shape[:1]:
            entry = replace(first, text=(first.text + entry.text)[:MAX_PARTIAL], partial=entry.partial)
        if entry.partial and len(entry.text) < MAX_PARTIAL:
            self._partial = entry
            return None
        return entry

    def _exported(self, raw: bytes, lost: int) -> Entry | None:
        """https://systemd.io/JOURNAL_EXPORT_FORMATS: a field a line, an empty line ends a record."""
        if self._binary is not None:
            if self._binary.add(raw, lost):
                if self._fields is not None:
                    self._fields[self._binary.name] = self._binary.value
                self._binary = None
            return None
        if not raw:
            return self._end_of_record()
        left: Entry | None = None
        if raw.startswith(b"__CURSOR=") and self._fields:
            left = self._end_of_record()
        fields = self._fields = {} if self._fields is None else self._fields
        if len(fields) >= MAX_FIELDS:
            return self._end_of_record()
        if (found := _EXPORT_FIELD.fullmatch(raw)) is not None:
            fields[found[1].decode()] = text_of(found[2][:MAX_FIELD_BYTES])
        elif _BINARY_FIELD.fullmatch(raw):
            self._binary = _Binary(raw.decode())
        return left

    def _end_of_record(self) -> Entry | None:
        fields, self._fields, self._binary = self._fields, None, None
        entry = journal.of_fields(fields) if fields else None
        if entry is not None and self._is_mixed:
            # among other lines: an application may have printed it
            return replace(entry, trust=Trust.TEXT)
        return entry
