"""Make the store of this release that later releases must still verify, replay and rebuild.

    .venv/bin/python tests/compat/make_store.py RELEASE

Writes tests/compat/RELEASE/: evidence, exported log and checkpoints, and the public key; no private key and no database. Run
once a release, before it is published; a kept store is never written again.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from weighbridge.admission.admit import admit
from weighbridge.admission.exceptions import Exemption, approve, rotate_key, waive
from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.recall import recall
from weighbridge.cli.demo import write_trapped_model
from weighbridge.testing.models import tiny_gguf, tiny_safetensors
from weighbridge.vocabulary import ModelRef, UseContext

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
USE = UseContext(purpose="search", owner="ana", territories=("DE", "FR"))


def main(release: str) -> None:
    """Decide on a clean, a trapped and an odd model; waive, approve, rotate the key; keep what is needed to check it."""
    target = Path(__file__).parent / release
    if target.exists():
        raise SystemExit(f"{target} is kept already")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        home = work / "home"
        with Installation(Settings(home=home), environment={}, clock=lambda: NOON) as house:
            fill(house, work)
        registry = home / "registry"
        for name in ("evidence", "log"):
            shutil.copytree(registry / name, target / "registry" / name)
        shutil.copy(registry / "installation.json", target / "registry")
        shutil.copytree(home / "keys" / "rotations", target / "keys" / "rotations")
        (target / "keys" / "trusted").mkdir()
        with Installation(Settings(home=home), environment={}, clock=lambda: NOON, writable=False) as house:
            for key in house.public_keys():
                (target / "keys" / "trusted" / f"{key.key_id}.pem").write_text(key.pem)


def fill(house: Installation, work: Path) -> None:
    """Five decisions with everything that a decision can rest on."""
    clean, odd = work / "clean", work / "odd"
    clean.mkdir()
    (clean / "model.safetensors").write_bytes(tiny_safetensors())
    (clean / "config.json").write_text('{"model_type": "llama"}\n')
    odd.mkdir()
    (odd / "model.gguf").write_bytes(tiny_gguf())
    (odd / "extra.bin").write_bytes(bytes(range(1, 200)))
    trapped = write_trapped_model(work / "trapped")
    for folder in (clean, odd, trapped):
        decide(house, folder)
    approve(house, recall(house, str(odd)), by="bob", reason="extra.bin is a picture")
    rotate_key(house)
    asked = Exemption(
        rule="no-code-in-weights",
        reason="a drill",
        control="opened in a sandbox only",
        by="eve",
        until=NOON + timedelta(days=90),
        every_use=False,
    )
    waive(house, recall(house, str(trapped)), asked)
    decide(house, trapped)


def decide(house: Installation, folder: Path) -> None:
    """Admit a folder under the default policy."""
    admit(ModelRef(hub="local", name=str(folder)), use=USE, policy=house.policy(), house=house)


if __name__ == "__main__":
    main(sys.argv[1])
