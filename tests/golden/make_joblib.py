"""Write the files of tests/golden/joblib with joblib itself, in an environment that has it: `python make_joblib.py FOLDER`."""

import sys
from pathlib import Path

import joblib


def main() -> None:
    from numpy import arange, array, ones

    numbers, turned = arange(12, dtype="<f8").reshape(3, 4), arange(6, dtype="<i4").reshape(2, 3).T
    value = {"coef": numbers, "names": ["a", "b"], "order": turned}
    folder = Path(sys.argv[1])
    joblib.dump(value, folder / "raw.joblib")
    joblib.dump(value, folder / "protocol2.joblib", protocol=2)
    joblib.dump({"labels": array(["a", {"b": 1}], dtype=object), "x": ones(2)}, folder / "objects.joblib")
    for name, level in (("gzip", 3), ("bz2", 9), ("xz", 3), ("lzma", 3), ("zlib", 3)):
        joblib.dump(value, folder / f"{name}.joblib", compress=(name, level))


if __name__ == "__main__":
    main()
