"""What installers wrote down: whether a package has a file, and the package's name and version.

Sources: https://packaging.python.org/en/latest/specifications/recording-installed-packages/,
https://docs.conda.io/projects/conda/en/stable/dev-guide/, dpkg-query(1), rpm(8).
"""

import json
import re

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!~^:-]{0,99}")
_HEADER_BYTES = 16 * 1024
_DIST_INFO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,199}\.dist-info")
_CONDA_META = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]{0,199}\.json")

Package = tuple[str, str]
"""its name and its version"""


def dist_infos(names: list[str], path: str) -> list[str]:
    """Those that are a wheel's metadata folder, the likeliest owners of this path first.

    `numpy-2.0.dist-info` before others for numpy/_core/x.so and numpy.libs/libopenblas.so.
    """
    top = re.split(r"[./]", path, maxsplit=1)[0].lower()
    kept = [name for name in names if _DIST_INFO.fullmatch(name)]
    return sorted(kept, key=lambda name: (name.partition("-")[0].lower() != top, name))


def conda_metas(names: list[str], path: str) -> list[str]:
    """Those that are a conda package's, the likeliest owners of this path first."""
    file = path.rpartition("/")[2]
    kept = [name for name in names if _CONDA_META.fullmatch(name)]
    return sorted(kept, key=lambda name: (name.partition("-")[0] not in file, name))


def record_has(data: bytes, path: bytes) -> bool:
    """Whether a RECORD lists this path, as it is written there: a first field of CSV.

    A path is only compared: one that climbs (`../../lib/x.so`) leads nowhere.
    """
    plain = not any(mark in path for mark in b',"\r\n')
    field = path if plain else b'"' + path.replace(b'"', b'""') + b'"'
    return data.startswith(field + b",") or b"\n" + field + b"," in data


def parse_metadata(data: bytes) -> Package | None:
    """METADATA's Name and Version."""
    found: dict[str, str] = {}
    for line in data[:_HEADER_BYTES].decode("utf-8", "replace").splitlines():
        if not line:
            break
        field, _, value = line.partition(":")
        found.setdefault(field.lower(), value.strip())
    return _checked(found.get("name"), found.get("version"))


def parse_conda(data: bytes, path: bytes) -> Package | None:
    """Name and version of a conda-meta file that lists this path (below its prefix); else None."""
    text = path.decode("utf-8", "replace")
    if (
        json.dumps(text).encode() not in data
        and json.dumps(text, ensure_ascii=False).encode() not in data
    ):
        return None
    try:
        meta = json.loads(data)
    except (ValueError, RecursionError):
        return None
    files = meta.get("files") if isinstance(meta, dict) else None
    if not isinstance(files, list) or text not in files:
        return None
    return _checked(meta.get("name"), meta.get("version"))


def dpkg_paths(path: str) -> list[bytes]:
    """How dpkg's lists may name a file of /usr: packages still say /lib where that is a link."""
    return [f"\n{each}\n".encode() for each in (path, path.removeprefix("/usr"))]


def dpkg_package(list_name: str, status: bytes) -> Package | None:
    """`libc6:amd64.list` and dpkg's status file to the package that it is of."""
    name, _, architecture = list_name.removesuffix(".list").partition(":")
    for found in re.finditer(rb"^Package: %b\n" % re.escape(name.encode()), status, re.MULTILINE):
        end = status.find(b"\n\n", found.start())
        paragraph = status[found.start() : end if end >= 0 else None]
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.decode("utf-8", "replace").splitlines()
            if ": " in line and not line.startswith(" ")
        )
        if architecture in ("", fields.get("Architecture")):
            return _checked(name, fields.get("Version"))
    return None


def parse_rpm(said: bytes) -> Package | None:
    """`name version-release` of the first package that has the file."""
    words = said.decode("utf-8", "replace").partition("\n")[0].split(" ")
    return _checked(*words) if len(words) == 2 else None


def _checked(name: object, version: object) -> Package | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return None
    return name, version
