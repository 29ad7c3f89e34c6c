"""Names of databases on stdin into what they hold, as JSON: runs in a machine, where their paths hold.

SQLite resolves links by their text: /proc/PID/root/… would lead it to the host's own folders.
"""

import json
import sys
from pathlib import Path

from kerneld.live import read_living
from kerneld.store import Store

for line in sys.stdin:
    kind, name = json.loads(line)
    if kind == "ends":
        with Store.read(Path(name)) as store:
            told: object = [end.model_dump(mode="json") for end in store.ends()]
    else:
        living = read_living(Path(name))
        sources = living.daemon.sources if living.daemon else ()
        told = {
            "states": [state.model_dump(mode="json") for state in living.states],
            "sources": [source.model_dump(mode="json") for source in sources],
        }
    print(json.dumps(told), flush=True)
