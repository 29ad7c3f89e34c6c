"""A case's crash into its place, as the incident has it, and what of that is not known."""

from kerneld.model.case import Case
from kerneld.model.evidence import FAULT_SIGNALS, is_blind
from kerneld.model.exits import exit_of
from kerneld.model.fault_lines import core_of, fault_line, fault_object, place_of, trace_of
from kerneld.model.incident import FaultPart
from kerneld.model.place import SIGNAL_KINDS, TRACE_KINDS
from kerneld.model.verdict import Blind


def fault_part(case: Case) -> FaultPart | None:
    record, trace, native = fault_line(case), trace_of(case), _native_stack(case)
    if record is None:
        if trace is not None:
            kind = TRACE_KINDS.get(trace.said, "other")
            return FaultPart(at=trace.at, kind=kind, native_stack=native)
        if native is not None:
            kind = SIGNAL_KINDS.get(exit_of(case).signal or 0, "other")
            return FaultPart(at=case.died_at, kind=kind, native_stack=native)
        return None
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
        native_stack=native,
    )


def _native_stack(case: Case) -> str | None:
    """systemd-coredump's, which knows functions by name; else faulthandler's."""
    told = (core_of(case), trace_of(case))
    return next((one.native_stack for one in told if one is not None and one.native_stack), None)


def blind_to_place(case: Case) -> tuple[Blind, ...]:
    """Why function or package of a fault are not known."""
    record = fault_line(case)
    place = place_of(case, record)
    reasons: tuple[str, ...] = () if place is None else place.unknown
    if record is None and _native_stack(case) is not None:
        reasons = ()
    elif record is None and exit_of(case).signal in FAULT_SIGNALS and is_blind(case, "linux-log"):
        reasons = ("only the Linux log says where in compiled code it crashed",)
    elif record is None and trace_of(case) is not None:
        reasons = ("while faulthandler is on, Linux does not log where in compiled code it crashed",)
    return tuple(Blind(source="fault-place", reason=reason) for reason in reasons)
