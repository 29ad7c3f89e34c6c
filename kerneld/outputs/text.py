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
    """The account, which no user can make up, or the Hub's name; in a container the other way round."""
    user = incident.user
    named = (user.hub_name, user.name) if incident.container else (user.name, user.hub_name)
    return safe_text(named[0] or named[1] or f"uid {user.uid}")
