"""Facts about the living into their roles, and into deaths when they end."""

from kerneld.track.identity import LivingKernel
from kerneld.track.moves import Moves
from kerneld.track.tracker import Tracker

__all__ = ["LivingKernel", "Moves", "Tracker"]
