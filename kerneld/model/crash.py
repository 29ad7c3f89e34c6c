"""A case's crash into its place, as the incident has it, and what of that is not known."""

from kerneld.model.case import Case
from kerneld.model.evidence import (
    FAULT_SIGNALS,
    exit_of,
    fault_line,
    fault_object,
    is_blind,
    place_of,
    trace_of,
)
from kerneld.model.incident import FaultPart
from kerneld.model.place import TRACE_KINDS
from kerneld.model.verdict import Blind


def fault_part(case: Case) -> FaultPart | None:
    record, trace = fault_line(case), trace_of(case)
    if record is None:
        if trace is None:
            return None
        return FaultPart(
            at=trace.at, kind=TRACE_KINDS.get(trace.said, "other"), native_stack=trace.native_stack
        )
    name, offset = fault_object(record.event)
    place = place_of(case, record)
    return FaultPart(
        at=record.at,
        kind=record.event.kind,
        address=record.event.fault_addr,
        object=name,
        offset=offset,
        symbol=place.symbol if place else None,
        package=place.package if place else None,
        version=place.version if place else None,
        native_stack=trace.native_stack if trace else None,
    )


def blind_to_place(case: Case) -> tuple[Blind, ...]:
    """Why function or package of a fault are not known."""
    record = fault_line(case)
    place = place_of(case, record)
    reasons: tuple[str, ...] = () if place is None else place.unknown
    if record is None and exit_of(case).signal in FAULT_SIGNALS and is_blind(case, "linux-log"):
        reasons = ("only the Linux log says where in compiled code it crashed",)
    elif record is None and trace_of(case) is not None:
        reasons = ("while faulthandler is on, Linux does not log where in compiled code it crashed",)
    return tuple(Blind(source="fault-place", reason=reason) for reason in reasons)
