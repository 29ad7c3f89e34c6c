"""`python -m kerneld.tracing up|down`: the service's signal trace, made and removed by root.

The unit runs it before and after the collector with full privileges (`+`), so that the collector
itself needs none of them.
"""

import sys

from kerneld.proc.tracefs import ROOTS, SHARED, make_instance, remove_instance, tracefs_root


def main(arguments: list[str]) -> int:
    if arguments not in (["up"], ["down"]):
        print("usage: python -m kerneld.tracing up|down", file=sys.stderr)
        return 2
    root = tracefs_root()
    if root is None:
        print(f"kerneld: tracefs is not mounted: mount -t tracefs nodev {ROOTS[0]}", file=sys.stderr)
        return 1
    try:
        if arguments == ["up"]:
            make_instance(root, SHARED)
        else:
            remove_instance(root, SHARED)
    except OSError as problem:
        print(f"kerneld: {problem.filename}: {problem.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
