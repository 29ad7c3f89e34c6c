"""What a kernel said on iopub, as far as a death needs it: its last words, its last cell, its state."""

from dataclasses import dataclass, replace

from kerneld.model.facts import (
    CellFailed,
    CellStarted,
    KernelStatus,
    ListenState,
    SessionFact,
    ShutdownAnnounced,
)

KEPT_FACTS = 40
EXECUTE = "execute_request"


@dataclass(frozen=True, slots=True)
class Session:
    """The recent facts of one life, oldest first.

    serving: the requests whose busy was heard and whose idle was not: a kernel with subshells
    serves several at once. heard: iopub said anything in this life.
    """

    facts: tuple[SessionFact, ...] = ()
    serving: frozenset[str] = frozenset()
    last_cell: CellStarted | None = None
    listening: bool = False
    heard: bool = False
    deaf: bool = False

    def heard_of(self, fact: SessionFact) -> "Session":
        """This session with one more fact."""
        facts = (*self.facts, fact)[-KEPT_FACTS:]
        match fact:
            case ListenState():
                deaf = self.deaf or not fact.listening
                return replace(self, facts=facts, listening=fact.listening, deaf=deaf)
            case KernelStatus(state="starting"):
                return Session(facts=(fact,), listening=True, heard=True)
            case KernelStatus():
                deaf = self.deaf and fact.parent_type != EXECUTE
                before = replace(self, serving=frozenset()) if self.deaf else self
                serving = before._serving(fact)
                return replace(self, facts=facts, serving=serving, heard=True, deaf=deaf)
            case CellStarted():
                return replace(self, facts=facts, last_cell=fact, heard=True)
            case CellFailed() | ShutdownAnnounced():
                return replace(self, facts=facts, heard=True)

    def _serving(self, status: KernelStatus) -> frozenset[str]:
        if status.parent is None or status.parent_type != EXECUTE:
            return self.serving
        if status.state == "busy":
            return self.serving | {status.parent}
        return self.serving - {status.parent}

    @property
    def busy(self) -> bool | None:
        """None while iopub was not heard, or not heard again since it was missed: nothing is known."""
        if not self.heard or self.deaf:
            return None
        return bool(self.serving)
