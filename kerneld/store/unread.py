"""What of a database could not be read, by name alone: what stands there may be a user's code."""

MOST_NAMED = 10


class Unread:
    """Rows that were skipped. Each is named once, however often it is met."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._names: list[str] = []

    def note(self, name: str) -> None:
        if name not in self._known:
            self._known.add(name)
            self._names.append(name)

    def line(self) -> str | None:
        """`can't be read, and is left out: incident 4, incident 9`; None: nothing new."""
        names, self._names = self._names, []
        if not names:
            return None
        more = len(names) - MOST_NAMED
        rest = f" and {more} more" if more > 0 else ""
        verb = "is" if len(names) == 1 else "are"
        return f"can't be read, and {verb} left out: {', '.join(names[:MOST_NAMED])}{rest}"
