"""A stored case to a fixture of kerneld's own tests: where it comes from, the case, the verdict."""

import platform

from kerneld import __version__
from kerneld.model.base import Record, iso
from kerneld.model.case import Case
from kerneld.model.incident import Incident
from kerneld.model.vocabulary import Cause, Confidence


class Expectation(Record):
    cause: Cause
    confidence: Confidence


class Fixture(Record):
    """header: distro, Linux, version and date of the capture, in words."""

    header: dict[str, str]
    case: Case
    expect: Expectation


def fixture_of(incident: Incident, case: Case) -> Fixture:
    """The verdict to expect is the one that was given: who reports a wrong one corrects it there."""
    header = {
        "captured_at": iso(incident.died_at),
        "linux": incident.host.linux_release,
        "distro": _distro(),
        "kerneld": __version__,
    }
    expect = Expectation(cause=incident.cause, confidence=incident.confidence)
    return Fixture(header=header, case=case, expect=expect)


def _distro() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown"
