"""A signal whose sender was not seen: how to learn who it is the next time."""

from kerneld.model.case import Case
from kerneld.model.evidence import headroom, is_blind
from kerneld.model.incident import Advice
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause


def advise(case: Case, verdict: Verdict) -> Advice | None:
    if verdict.cause is not Cause.KILLED:
        return None
    steps = ["`kerneld doctor` says which evidence can't be read here, and the command that mends it."]
    if is_blind(case, "linux-log"):
        steps.append("The Linux log could not be read: it would tell an OOM kill from all others.")
    if is_blind(case, "signal-trace"):
        steps.append("The signal trace could not be read: it names whoever sends such a signal.")
    if headroom(case).near:
        steps.append(f"Memory was short ({headroom(case).text}): watch that first.")
    steps.append(
        "Those who send such signals: a script or a person with kill, the server itself when a stuck "
        "kernel is restarted, a batch system at its time limit, systemd at the end of a session. "
        "Their logs have the time of this death."
    )
    return Advice(id="unknown-sender", title="Find out who sends the signal", text=" ".join(steps))
