"""An incident to one sentence: for a log, a terminal beside the daemon, a list that follows."""

from kerneld.model.incident import Incident
from kerneld.outputs.headline import what, who
from kerneld.outputs.safe import safe_text


def one_line(incident: Incident) -> str:
    """`churn/train.ipynb of alice ran out of memory (oom-cgroup, certain): kerneld show 43`."""
    number = "" if incident.id is None else f": kerneld show {incident.id}"
    proof = f"{incident.cause.value}, {incident.confidence.value}"
    times = f", death {incident.loop.count} in a row" if incident.loop else ""
    return f"{who(incident)} of {user_name(incident)} {what(incident)} ({proof}{times}){number}"


def user_name(incident: Incident) -> str:
    """Whose it was. Safe text."""
    user = incident.user
    return person(user.name, user.hub_name, user.uid, in_container=incident.container is not None)


def person(name: str | None, hub_name: str | None, uid: int, *, in_container: bool) -> str:
    """The account, which no user can make up, else the Hub's name; in a container the other way."""
    named = (hub_name, name) if in_container else (name, hub_name)
    return safe_text(named[0] or named[1] or f"uid {uid}")
