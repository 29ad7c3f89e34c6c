"""A death and the facts around it into a Case: opened at once, completed until it settles."""

from kerneld.correlate.correlator import Correlator

__all__ = ["Correlator"]
