"""A stored incident and the same judged anew: does it say something else, and is that a revision?"""

from kerneld.model.incident import FaultPart, Incident


def says_else(told: Incident, new: Incident) -> bool:
    said, says = (
        (each.cause, each.confidence, each.exit.status_raw, _place(each)) for each in (told, new)
    )
    return said != says


def is_revised(told: Incident, new: Incident) -> bool:
    return told.cause is not new.cause or _place(told) != _place(new)


def _place(incident: Incident) -> tuple[str | None, ...]:
    """What is looked up of a crash after the first verdict."""
    trace = [piece.text for piece in incident.because if piece.source == "faulthandler"]
    fault = incident.fault or FaultPart(kind="")
    return (fault.symbol, fault.package, fault.version, fault.native_stack, *trace)
