"""Names from a hub that climb out of the folder they are written to.

CWE-22: a repository whose listing names `../../x` makes a client write where it pleases.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.huggingface import HUB
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import StagingIntake
from weighbridge.testing.hub_server import HubServer


@pytest.mark.parametrize(
    "name",
    ["../escape", "a/../../escape", "/tmp/escape", "..\\escape", "C:\\escape", "\\\\host\\share\\x", "a/..", "./escape",
     "escape/", "a//escape", "es\u2215cape", "..\u2044escape", "esc\u202eape", "~/../escape\n"],
)  # fmt: skip
def test_cwe_22_a_name_of_a_hub_writes_nowhere(tmp_path: Path, name: str) -> None:
    with HubServer().running() as hub:
        hub.publish("acme/tiny", {"a.bin": bytes(5000)})
        hub.faults.names = {"a.bin": name}
        access = HubAccess(environment={"HF_ENDPOINT": hub.url}, download_folder=tmp_path / "downloads")
        with (
            StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging") as intake,
            pytest.raises(HostileInputError),
        ):
            HUB.fetch(HUB.resolve("acme/tiny", "", access), intake, access)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert hub.bytes_sent == 0


def test_what_a_hub_names_never_becomes_a_path_of_the_download(tmp_path: Path) -> None:
    seen: set[str] = set()

    def look(path: str, done: int, total: int) -> None:
        seen.update(found.name for found in (tmp_path / "downloads").rglob("*"))

    with HubServer().running() as hub:
        hub.publish("acme/tiny", {"evil name.bin": bytes(5000)})
        access = HubAccess(environment={"HF_ENDPOINT": hub.url}, download_folder=tmp_path / "downloads", on_bytes=look)
        with StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging") as intake:
            HUB.fetch(HUB.resolve("acme/tiny", "", access), intake, access)
    assert seen
    assert all(set(name) <= set("0123456789abcdef") for name in seen)
