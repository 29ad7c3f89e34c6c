"""Text of users to text that is safe on a terminal: escaped, measured, clipped and wrapped."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

# C0, DEL, C1; bidi marks, embeddings and isolates; line separators; BOM; surrogates; tag characters
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}

UNBROKEN = "\u00a0"
"""a blank at which wrap does not break: between a number and its unit"""
_BLANKS = re.compile(rf"[^\S{UNBROKEN}]+")

Keep = Literal["start", "end"]


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def safe_text(text: str) -> str:
    """One line of printable text: what could move the cursor or turn the direction is shown escaped."""
    return _UNSAFE.sub(_escape, text)


def safe_json(document: str) -> str:
    """JSON text whose strings hold no raw control or bidi character; it parses to the same value."""
    if document.isprintable():
        return document
    return _UNSAFE.sub(_escape_json, document)


def _escape_json(match: re.Match[str]) -> str:
    char = match.group()
    if char == "\n":  # between values of an indented document; inside a string JSON has escaped it
        return char
    raw = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[i]:02x}{raw[i + 1]:02x}" for i in range(0, len(raw), 2))


@lru_cache(maxsize=4096)
def _cells_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me") or char == "\u200d":
        # variation selector 16 makes an emoji of the sign before it, which is then two cells wide
        return 1 if char == "\ufe0f" else 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cells(text: str) -> int:
    """How many columns a terminal needs at most for this text."""
    return len(text) if text.isascii() else sum(_cells_of(char) for char in text)


def clip(text: str, width: int, keep: Keep = "start") -> str:
    """The text in at most `width` columns; what was left out is shown as one `…`."""
    if cells(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    chars = text if keep == "start" else text[::-1]
    used = length = 0
    for char in chars:
        used += _cells_of(char)
        if used > width - 1:
            break
        length += 1
    return text[:length] + "…" if keep == "start" else "…" + text[len(text) - length :]


def pad(text: str, width: int, align: Literal["<", ">"] = "<") -> str:
    """The text filled up with blanks to `width` columns."""
    blanks = " " * max(0, width - cells(text))
    return blanks + text if align == ">" else text + blanks


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, broken between words, long words cut."""
    lines = [""]
    for word in _BLANKS.split(text):
        while cells(word) > width:
            head = _head(word, width if not lines[-1] else width - cells(lines[-1]) - 1)
            if head:
                lines[-1] = f"{lines[-1]} {head}" if lines[-1] else head
                word = word[len(head) :]
            lines.append("")
        if not word:
            continue
        if lines[-1] and cells(lines[-1]) + 1 + cells(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    kept = lines if lines[-1] or len(lines) == 1 else lines[:-1]
    return [line.replace(UNBROKEN, " ") for line in kept]


def _head(word: str, width: int) -> str:
    used = 0
    for index, char in enumerate(word):
        used += _cells_of(char)
        if used > width:
            return word[:index]
    return word
