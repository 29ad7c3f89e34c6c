"""Who looks at the page, and what of a record that person may see."""

import dataclasses
from dataclasses import dataclass

from kerneld.model.incident import Incident
from kerneld.model.living import LivingState
from kerneld.seen import Reader, seen_by
from kerneld.store import Query
from kerneld.store.query import HubUser

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Viewer:
    """own_uid: whose rows are the viewer's own; hub_user: the same for one that the Hub knows.

    sees_all: the rows of everybody. is_admin: other users' processes by name. sees_code: others' code.
    """

    name: str
    own_uid: int | None = None
    hub_user: HubUser | None = None
    sees_all: bool = False
    is_admin: bool = False
    sees_code: bool = False

    def narrowed(self, query: Query) -> Query:
        """The question, about the rows alone that this viewer may have."""
        if self.sees_all:
            return query
        if self.hub_user is None and self.own_uid is None:
            raise PermissionError("a viewer without rows")
        return dataclasses.replace(query, uid=self.own_uid, hub_user=self.hub_user)

    def may_have(self, part: Incident | LivingState) -> bool:
        return self.sees_all or self._owns(part)

    def sight_of(self, incident: Incident) -> Incident:
        """What the one filter lets through. In a container a uid is no user's: nobody is one's own."""
        uid = incident.user.uid
        if not self._owns(incident):
            reader = Reader(NOBODY, is_admin=self.is_admin, sees_code=self.sees_code)
            return seen_by(reader, incident, owner_uid=uid)
        own = NOBODY if incident.container else uid
        return seen_by(Reader(own, is_admin=self.is_admin), incident, owner_uid=own)

    def _owns(self, part: Incident | LivingState) -> bool:
        """As the query's own condition has it."""
        uid, hub_name, is_contained = _whose(part)
        if self.hub_user is not None:
            named = hub_name == self.hub_user.name
            return named and (is_contained or uid == self.hub_user.uid)
        return uid == self.own_uid


def _whose(part: Incident | LivingState) -> tuple[int, str | None, bool]:
    if isinstance(part, Incident):
        return part.user.uid, part.user.hub_name, part.container is not None
    return part.uid, part.hub_name, part.container_id is not None
