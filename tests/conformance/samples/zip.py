"""ZIP archives around other files."""

from tests.conformance.sample import Sample
from weighbridge.testing.pickles import Entry, Pickle, write_zip

PLAIN = write_zip(
    [Entry(name="folder/config.json", data=b'{"a": 1}'), Entry(name="b.pkl", data=Pickle().values(1).stop(), method=8)]
)
EMPTY = write_zip([])

SAMPLES = (
    Sample(name="two members", path="model.zip", data=PLAIN),
    Sample(name="no member", path="empty.zip", data=EMPTY),
)
