"""Make the archives in `tests/golden/sevenzip` with py7zr: `python tests/golden/make_sevenzip.py`.

Needs py7zr 1.1 and numpy, which the test environment does not have all of.
"""

import io
import tempfile
from importlib import import_module
from pathlib import Path

py7zr = import_module("py7zr")
np = import_module("numpy")
FOLDER = Path(__file__).parent / "sevenzip"
LZMA, LZMA2 = {"id": py7zr.FILTER_LZMA}, {"id": py7zr.FILTER_LZMA2, "preset": 7}
DELTA, BRANCH = {"id": py7zr.FILTER_DELTA, "dist": 4}, {"id": py7zr.FILTER_X86}
CHAINS = {
    "lzma": [LZMA],
    "lzma2": [LZMA2],
    "bcj_lzma2": [BRANCH, LZMA2],
    "delta_lzma": [DELTA, LZMA],
    "deflate": [{"id": py7zr.FILTER_DEFLATE}],
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "ppmd": [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 24}],
}


def contents():
    array = io.BytesIO()
    np.save(array, np.arange(3000, dtype="f4"))
    return {"config.json": b'{"a": 1}', "w/weights.npy": array.getvalue(), "README.md": b"# hello\n" * 50}


def write(name, *, is_plain=False, **settings):
    with py7zr.SevenZipFile(FOLDER / f"{name}.7z", "w", **settings) as archive:
        archive.set_encoded_header_mode(not is_plain)
        for member, data in contents().items():
            archive.writestr(data, member)


if __name__ == "__main__":
    for chain, filters in CHAINS.items():
        write(chain, filters=filters)
    write("plainheader", filters=CHAINS["lzma2"], is_plain=True)
    write("aes", password="x")
    with py7zr.SevenZipFile(FOLDER / "aeshead.7z", "w", password="x", header_encryption=True) as sealed:
        sealed.writestr(b"a", "b")
    with tempfile.TemporaryDirectory() as root, py7zr.SevenZipFile(FOLDER / "tree.7z", "w") as tree:
        (Path(root) / "empty").mkdir()
        (Path(root) / "zero").touch()
        (Path(root) / "a.txt").write_text("hi\n", encoding="utf-8")
        tree.writeall(root, "t")
