"""What evidence can be read here: each reading is tried for real and closed; nothing is changed."""

from kerneld.doctor.check import Check, Report
from kerneld.doctor.places import examine_places
from kerneld.doctor.sources import core_dumps, examine_sources
from kerneld.doctor.told import told_by_daemon

__all__ = ["Check", "Report", "core_dumps", "examine_places", "examine_sources", "told_by_daemon"]
