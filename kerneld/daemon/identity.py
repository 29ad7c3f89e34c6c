"""A process and the role it had into the uuid of its end."""

import uuid

from kerneld.model.process import ProcessKey
from kerneld.model.vocabulary import Scope


def end_uuid(key: ProcessKey, scope: Scope) -> str:
    """One end, one uuid: told again after a crash of kerneld, it is the same row.

    scope: a server that executes a kernel's command line ends in both roles at once.
    """
    name = f"kerneld:{key.boot_id}:{key.pid}:{key.start_ticks}:{key.pidfd_inode}:{scope}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
