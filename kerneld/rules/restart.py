"""Someone asked for a restart: the kernel said so on iopub.

Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html#kernel-shutdown (`restart`). R's
kernel says nothing, a stuck one can't: then the signal trace tells that its server shot it, or, without
one, only the next life's prompt start hints at a request.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.evidence import asked_of_server, shot_by_another, shot_by_server
from kerneld.model.exits import exit_of
from kerneld.model.intent import announced_shutdown, may_hide_restart, prompt_succession
from kerneld.model.oom import oom_line
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, Scope
from kerneld.model.wording import act_quote, exit_quote, sender_quote

NEEDS = ("exit", "iopub")
REFINES = frozenset({Cause.KILLED, Cause.KILLED_BY_PROCESS, Cause.HARD_EXIT})

ESCALATION = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def judge(case: Case) -> Verdict | None:
    end, said = exit_of(case), announced_shutdown(case)
    if case.scope is not Scope.KERNEL or oom_line(case) is not None:
        return None
    if end.signal is not None and end.signal not in ESCALATION:
        return None
    if said is not None and said.restart:
        quote = Evidence(source="iopub", at=said.at, text="the kernel said that it restarts")
        clean = end.code == 0 or end.signal == signal.SIGTERM
        return _verdict(case, Confidence.CERTAIN if clean else Confidence.LIKELY, quote)
    if said is not None or case.succession is None:
        return None
    quote = Evidence(source="server", at=case.succession.at, text="the next life began at once")
    sent, asked = shot_by_server(case), asked_of_server(case, "restarted")
    if sent is not None or (asked is not None and not shot_by_another(case)):
        told = [*([sender_quote(sent)] if sent else []), *([act_quote(asked)] if asked else [])]
        return _verdict(case, Confidence.LIKELY, quote, *told)
    silent = end.code == 0 and case.busy is None and prompt_succession(case)
    if shot_by_another(case) or not (silent or may_hide_restart(case)):
        return None
    return _verdict(case, Confidence.POSSIBLE, quote)


def _verdict(case: Case, confidence: Confidence, *quotes: Evidence) -> Verdict:
    return Verdict(
        cause=Cause.RESTART,
        confidence=confidence,
        summary="The kernel was restarted because someone asked for it.",
        because=(*quotes, exit_quote(case)),
    )
