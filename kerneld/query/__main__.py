"""`python -m kerneld.query`: the service manager's socket, and the database behind it."""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

from kerneld.model.base import make_ready
from kerneld.model.vocabulary import Mode
from kerneld.places import paths
from kerneld.query.server import Server

FIRST_PASSED_FD = 3
IDLE_S = 60.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kerneld.query", description=__doc__)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--idle", type=float, default=IDLE_S, metavar="SECONDS")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="kerneld: %(message)s")
    if os.environ.get("LISTEN_FDS") != "1":
        print(
            "kerneld: kerneld-query.socket starts this, with the socket that it made", file=sys.stderr
        )
        return 2
    make_ready()
    places = paths(Mode.SYSTEM, {}, Path("/"), database=options.db)
    with socket.socket(fileno=FIRST_PASSED_FD) as listener:
        Server(listener, places.database, places.live).serve(options.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
