"""A signal that names its own cause, with its line in the Linux log, into a Verdict."""

import signal
from dataclasses import dataclass

from kerneld.model.case import Case
from kerneld.model.evidence import is_blind, own_log
from kerneld.model.exits import exit_of
from kerneld.model.fault_lines import core_of, trace_of
from kerneld.model.records import LogRecord
from kerneld.model.verdict import Evidence, Verdict
from kerneld.model.vocabulary import Cause, Confidence, ExitHow, Trust
from kerneld.model.wording import act_quote, exit_quote, log_quote, place, story, subject, trace_quote

SENDS_ITSELF = "the running cell sends its own process a signal, which may be this one"
NO_LINE = "the Linux log has no line of it: a handler that was set leaves none, nor does a signal sent"


@dataclass(frozen=True, slots=True)
class FatalSignal:
    """One signal and what it means. kinds: the log lines that tell of it; (): Linux writes none."""

    cause: Cause
    number: signal.Signals
    kinds: tuple[str, ...]
    did: str
    why: str

    def judge(self, case: Case) -> Verdict | None:
        """The status proves the signal, a line the place; either names this very process."""
        end = exit_of(case)
        if end.signal != self.number and end.how is not ExitHow.LOST:
            return None
        line, trace, core = self.line(case), trace_of(case), core_of(case)
        by_line = end.how is ExitHow.LOST and line is not None
        if end.signal != self.number and not by_line:
            return None
        against = self._against(case, line)
        doubtful = bool(against) and case.last_cell is not None and case.last_cell.code.kills_itself
        forged = by_line and line is not None and line.event.trust is not Trust.KERNEL
        return Verdict(
            cause=self.cause,
            confidence=Confidence.LIKELY if doubtful or forged else Confidence.CERTAIN,
            summary=f"{story(case, f'{subject(case)} {self.did}{place(case, line)}')} {self.why}",
            because=(
                exit_quote(case),
                *((log_quote(line),) if line else ()),
                *((trace_quote(trace),) if trace else ()),
                *((act_quote(core),) if core else ()),
            ),
            against=against,
        )

    def line(self, case: Case) -> LogRecord | None:
        """The Linux log's own line, else a core dump's or a fatal signal's that has this number."""
        direct = own_log(case, *self.kinds)
        told = (r for r in case.log if r.event.kind in ("coredump", "fatal_signal"))
        return direct or next((r for r in told if r.event.signal == self.number), None)

    def _against(self, case: Case, line: LogRecord | None) -> tuple[Evidence, ...]:
        if line is not None or not self.kinds or trace_of(case) is not None:
            return ()
        found: list[Evidence] = []
        if case.settled and not is_blind(case, "linux-log"):
            found.append(Evidence(source="linux-log", text=NO_LINE))
        if case.busy and case.last_cell is not None and case.last_cell.code.kills_itself:
            found.append(Evidence(source="iopub", at=case.last_cell.at, text=SENDS_ITSELF))
        return tuple(found)
