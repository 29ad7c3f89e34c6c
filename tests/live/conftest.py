"""One session, one set of deaths: every test module here reads the same report."""

from report import report

__all__ = ["report"]
