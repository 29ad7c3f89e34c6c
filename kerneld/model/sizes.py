"""Sizes in bytes: in words, and how near to a limit is near."""

NEAR_LIMIT_SHARE = 0.9
"""usage of a limit from which memory can't be ruled out: the rule for OOM counters uses the same"""


def gib(size_bytes: int) -> str:
    """A size for people: 3.2 GiB, 410 MiB, 12 KiB."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor:
            value = size_bytes / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size_bytes} B"
