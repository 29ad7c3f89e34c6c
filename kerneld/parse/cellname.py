"""The file names that IPython kernels give to cells: made of a cell's source, and read again."""

import re
import struct

_MASK = 0xFFFFFFFF
_M, _SEED = 0x5BD1E995, 0xC70F6907

_IPYKERNEL = re.compile(r"/(?:ipykernel|xpython)_\d{1,10}/(\d{1,10})\.py\Z")
_NUMBERED = re.compile(r"<ipython-input-(\d{1,9})-[^>]*>\Z")
TIMED = frozenset({"<timed exec>", "<timed eval>"})
"""the body of a cell that begins with %%time"""


def murmur2(data: bytes) -> int:
    """MurmurHash2, x86, 32 bit, with the seed that ipykernel and xeus-python take."""
    value = (_SEED ^ len(data)) & _MASK
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        word = word * _M & _MASK
        word ^= word >> 24
        value = (value * _M & _MASK) ^ (word * _M & _MASK)
    tail = data[whole:]
    if tail:
        value = (value ^ int.from_bytes(tail, "little")) * _M & _MASK
    value ^= value >> 13
    value = value * _M & _MASK
    return value ^ value >> 15


def cell_hash(source: str) -> int:
    """The number in the file name of a cell with this source."""
    return murmur2(source.encode("utf-8", "surrogatepass"))


def hash_in(file: str) -> int | None:
    """The number in a file name such as `/tmp/ipykernel_4711/2385213417.py`; None: no cell."""
    found = _IPYKERNEL.search(file)
    return int(found[1]) if found else None


def count_in(file: str) -> int | None:
    """The execution count in a name of older IPythons, `<ipython-input-7-0123456789ab>`."""
    found = _NUMBERED.match(file)
    return int(found[1]) if found else None


def is_cell(file: str) -> bool:
    return hash_in(file) is not None or count_in(file) is not None or file in TIMED
