"""Facts about the living into their roles, and into deaths when they end."""

from kerneld.track.tracker import Moves, Tracker

__all__ = ["Moves", "Tracker"]
