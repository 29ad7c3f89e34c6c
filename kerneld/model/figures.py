"""What is counted: settled incidents, and how the recorder and its kernels do. For metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kerneld.model.living import DaemonState
from kerneld.model.vocabulary import Category, Cause


@dataclass(frozen=True, slots=True)
class Figures:
    """One moment's counts.

    incidents: by cause, each as it first settled; a count never falls, whatever is pruned or judged
    again. users: by name and category, empty where names are not wanted. daemon: None where none runs.
    kernels: the living by state.
    """

    incidents: Mapping[Cause, int]
    users: Mapping[tuple[str, Category], int] = field(default_factory=dict)
    daemon: DaemonState | None = None
    kernels: Mapping[str, int] = field(default_factory=dict)
