"""ZIP archives around anything (npz, mar, a zipped folder): every record compared with every other, every member examined."""

from __future__ import annotations

from weighbridge.formats.archives.flavours import PLAIN, flavours_of
from weighbridge.formats.archives.members import over_limit, read_zip
from weighbridge.formats.archives.tar import is_tar
from weighbridge.formats.headers.defects import OverLimitError
from weighbridge.formats.reading.contract import Format, Match, Reading
from weighbridge.formats.reading.source import Source


def sniff(source: Source) -> Match:
    """CERTAIN where it begins as a zip archive that is not the archive of another unit; LIKELY where it only ends as one."""
    if PLAIN not in flavours_of(source):
        return Match.NO
    if source.head(2) == b"PK":
        return Match.CERTAIN
    return Match.NO if is_tar(source) else Match.LIKELY  # the last member of a tar archive may be a zip archive


def read(source: Source) -> Reading:
    """Walk the archive and hand out its members."""
    try:
        return read_zip(source, "zip").reading("zip")
    except OverLimitError as problem:
        return over_limit(source, "zip", problem)


FORMAT = Format(
    name="zip",
    title="ZIP archive, NumPy .npz among them",
    media_type="application/zip",
    version=1,
    may_hold_code=True,
    containers=("zip", "hdf5"),
    checks=("zip.structure", "zip.archive", "code.on-load"),
    references=("https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT",),
    sniff=sniff,
    read=read,
)
