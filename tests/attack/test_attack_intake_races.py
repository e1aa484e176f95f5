"""A neighbour who changes files while they are weighed (CWE-367): whatever it does, the manifest says what was staged."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import random
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.local import HUB
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import InPlaceIntake, StagingIntake
from weighbridge.vocabulary import ModelRef

TRIES = 100
SIZE = 200_000


def swap(target: Path, spare: Path, chance: random.Random) -> None:
    """One hostile act on a file."""
    match chance.randrange(7):
        case 0:
            spare.write_bytes(chance.randbytes(SIZE))
            os.replace(spare, target)
        case 1:
            os.truncate(target, chance.randrange(SIZE))
        case 2:
            with target.open("ab") as file:
                file.write(chance.randbytes(1000))
        case 3:
            with target.open("r+b") as file:
                file.seek(chance.randrange(SIZE))
                file.write(chance.randbytes(1000))
        case 4:
            spare.unlink(missing_ok=True)
            spare.symlink_to("/etc/passwd")
            os.replace(spare, target)
        case 5:
            target.unlink(missing_ok=True)
        case 6:
            spare.unlink(missing_ok=True)
            os.mkfifo(spare)
            os.replace(spare, target)


def race(folder: Path, started: Event, stop: Event, seed: int) -> None:
    """Change the model at random moments until told to stop, and put a good file back in between."""
    chance = random.Random(seed)
    target, spare = folder / "model.bin", folder.parent / "spare"
    started.set()
    while not stop.is_set():
        time.sleep(chance.random() * 0.002)
        with contextlib.suppress(OSError):
            swap(target, spare, chance)
        time.sleep(chance.random() * 0.002)
        spare.unlink(missing_ok=True)
        spare.write_bytes(chance.randbytes(SIZE))
        os.replace(spare, target)


@pytest.mark.parametrize("seed", [1, 2])
def test_cwe_367_a_staged_model_is_always_what_its_manifest_says(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(os.urandom(SIZE))
    (folder / "config.json").write_text("{}")
    secret = hashlib.sha256(Path("/etc/passwd").read_bytes()).hexdigest()
    blobs = BlobStore(tmp_path / "blobs")
    access = HubAccess(environment={}, download_folder=tmp_path)
    context = multiprocessing.get_context("spawn")
    started, stop = context.Event(), context.Event()
    racer = context.Process(target=race, args=(folder, started, stop, seed), daemon=True)
    racer.start()
    assert started.wait(60)
    taken = refused = 0
    try:
        for number in range(20 * TRIES):
            if number >= TRIES and min(taken, refused) > 0:
                break
            try:
                with StagingIntake(blobs, tmp_path / f"staging{number}") as intake:
                    HUB.fetch(ModelRef(hub="local", name=str(folder)), intake, access)
                    model = intake.finish()
            except HostileInputError:
                refused += 1
                continue
            taken += 1
            model.check_unchanged()
            for file in model.files:
                fd = file.open_fd()
                data = os.read(fd, 2 * SIZE)
                os.close(fd)
                assert hashlib.sha256(data).hexdigest() == file.sha256 != secret
                assert len(data) == file.size_bytes
    finally:
        stop.set()
        racer.join(10)
    assert racer.exitcode == 0
    assert taken + refused >= TRIES
    assert min(taken, refused) > 0
    assert all(blobs.verify(sha256) for sha256 in blobs.list())
    assert list(tmp_path.glob("staging*")) == []


@pytest.mark.parametrize("staging", [True, False])
@pytest.mark.parametrize("act", ["truncate", "extend", "rewrite"])
def test_cwe_367_a_change_in_the_middle_of_a_file_is_refused(tmp_path: Path, act: str, staging: bool) -> None:
    place = tmp_path / "model.bin"
    place.write_bytes(bytes(3_000_000))
    os.utime(place, (1, 1))

    def meddle(path: str, done: int, total: int) -> None:
        if done < total:
            match act:
                case "truncate":
                    os.truncate(place, 1_000_000)
                case "extend":
                    with place.open("ab") as file:
                        file.write(b"more")
                case "rewrite":
                    with place.open("r+b") as file:
                        file.write(b"else")

    blobs = BlobStore(tmp_path / "blobs")
    intake = StagingIntake(blobs, tmp_path / "s", on_bytes=meddle) if staging else InPlaceIntake(on_bytes=meddle)
    fd = os.open(place, os.O_RDONLY)
    with intake, pytest.raises(HostileInputError, match=r"model\.bin changed while it was weighed"):
        intake.take("model.bin", fd)
    os.close(fd)
    assert blobs.list() == ()


def test_cwe_835_a_file_that_grows_for_ever_ends_the_read(tmp_path: Path) -> None:
    place = tmp_path / "model.bin"
    place.write_bytes(bytes(1_000_000))

    def feed(path: str, done: int, total: int) -> None:
        with place.open("ab") as file:
            file.write(bytes(1_000_000))

    fd = os.open(place, os.O_RDONLY)
    with InPlaceIntake(on_bytes=feed) as intake, pytest.raises(HostileInputError, match="changed"):
        intake.take("model.bin", fd)
    os.close(fd)
    assert place.stat().st_size < 10_000_000
