"""Compressed streams around a pickle."""

import bz2
import gzip
import lzma
import zlib

from tests.conformance.sample import Sample
from weighbridge.testing.pickles import Pickle

INNER = Pickle().values("epoch", 3).op("TUPLE2").stop()
PACKED = zlib.compress(INNER)

SAMPLES = (
    Sample(name="gzip", path="model.pkl.gz", data=gzip.compress(INNER, mtime=0)),
    Sample(name="bzip2", path="model.pkl.bz2", data=bz2.compress(INNER)),
    Sample(name="xz", path="model.pkl.xz", data=lzma.compress(INNER, check=lzma.CHECK_CRC64)),
    Sample(name="lzma", path="model.joblib", data=lzma.compress(INNER, lzma.FORMAT_ALONE), is_whole_only=False),
    Sample(name="zlib", path="model.joblib", data=PACKED),
    Sample(name="joblib", path="old.joblib", data=b"ZF" + hex(len(INNER)).encode().ljust(19) + PACKED),
)
