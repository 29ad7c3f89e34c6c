"""The text of /proc/locks into who holds a file by flock(2)."""


def flock_holders(locks: bytes, inode: int) -> set[int]:
    """The pids, as its reader numbers them.

    `3: FLOCK  ADVISORY  WRITE 708 00:1b:12345 0 EOF`; who waits for one has `->` behind the number. The
    device is left out: overlayfs and btrfs tell another one to who looks at the file.
    """
    pids = set()
    for line in locks.splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[1] == b"FLOCK" and fields[5].endswith(b":%d" % inode):
            pids.add(int(fields[4]))
    return pids
