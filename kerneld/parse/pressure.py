"""/proc/pressure and /proc/loadavg into numbers: how much everybody waits for the machine."""

import re
from functools import lru_cache

_AVG10 = re.compile(rb"^(some|full) avg10=(\d{1,3}\.\d\d) ", re.MULTILINE)


def parse_pressure(text: bytes) -> dict[str, float]:
    """`some` and `full`: percent of the last 10 s; a line that is not there is left out."""
    return {kind.decode(): float(value) for kind, value in _AVG10.findall(text)}


@lru_cache(maxsize=4)  # who dies together died under the same
def told_pressure(text: bytes) -> str | None:
    """`some avg10=1.50 full avg10=0.20`, as Linux words it; None where it keeps none."""
    found = parse_pressure(text)
    return " ".join(f"{kind} avg10={value:.2f}" for kind, value in found.items()) or None


def parse_load(text: bytes) -> float:
    """Tasks that ran or waited in the last minute; 0 for what can't be read."""
    first = text.split(b" ", 1)[0]
    try:
        return float(first)
    except ValueError:
        return 0.0
