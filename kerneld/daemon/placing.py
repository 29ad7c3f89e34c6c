"""A case's crash into the order to find its place."""

from kerneld.model.case import Case
from kerneld.model.effects import PlaceFault
from kerneld.model.evidence import FAULT_SIGNALS
from kerneld.model.exits import exit_of
from kerneld.model.fault_lines import fault_line, fault_object
from kerneld.model.vocabulary import Scope


def fault_to_place(case: Case) -> PlaceFault | None:
    """None: it did not crash, or this was looked up already.

    A forked worker has what its kernel had mapped, where that had it.
    """
    record = fault_line(case)
    if not case.observed or (record is None and exit_of(case).signal not in FAULT_SIGNALS):
        return None
    ip = record.event.ip if record else None
    name = fault_object(record.event)[0] if record else None
    ip, name = (ip, name) if ip and name else (None, None)
    if case.place is not None and case.place.ip == ip:
        return None
    is_worker = case.scope is Scope.WORKER and case.kernel is not None
    process = case.kernel.process if is_worker and case.kernel else case.process
    return PlaceFault(case.uuid, process.key, process.uid, case.died_at, ip, name)
