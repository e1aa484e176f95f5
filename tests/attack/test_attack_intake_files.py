"""Things in a model's folder that are no files (CWE-59 links, CWE-67 devices): refused by name, without being opened or read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.local import HUB
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import InPlaceIntake, Intake, StagingIntake
from weighbridge.vocabulary import ModelRef


@pytest.fixture(params=["staging", "in place"])
def intake(request: pytest.FixtureRequest, tmp_path: Path) -> Intake:
    if request.param == "in place":
        return InPlaceIntake()
    return StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging")


def fetch(folder: Path, intake: Intake, tmp_path: Path) -> None:
    with intake:
        HUB.fetch(ModelRef(hub="local", name=str(folder)), intake, HubAccess(environment={}, download_folder=tmp_path))


def test_cwe_67_a_device_file_in_a_model_is_not_read(tmp_path: Path, intake: Intake) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    try:
        os.mknod(folder / "zero.bin", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        # Without the right to make a device, one that is there already takes its place.
        folder = Path("/dev")
    with pytest.raises(HostileInputError, match=r"is a (device file|symbolic link|named pipe|socket)"):
        fetch(folder, intake, tmp_path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/tty"])
def test_cwe_67_a_descriptor_of_a_device_is_refused(device: str, intake: Intake) -> None:
    try:
        fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        fd = os.open("/dev/null", os.O_RDONLY)
    with intake, pytest.raises(HostileInputError, match="is a device file"):
        intake.take("model.bin", fd)
    os.close(fd)


def test_cwe_410_a_pipe_does_not_keep_the_scale_waiting(intake: Intake) -> None:
    reader, writer = os.pipe()
    with intake, pytest.raises(HostileInputError, match="is a named pipe"):
        intake.take("model.bin", reader)
    os.close(reader)
    os.close(writer)


def test_a_folder_is_no_file(tmp_path: Path, intake: Intake) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with intake, pytest.raises(HostileInputError, match="is a folder"):
        intake.take("model.bin", fd)
    os.close(fd)


def test_a_file_of_the_kernel_whose_length_is_a_lie_is_refused(intake: Intake) -> None:
    """Files in /proc say that they are empty and are not."""
    fd = os.open("/proc/self/status", os.O_RDONLY)
    with intake, pytest.raises(HostileInputError, match="changed"):
        intake.take("status", fd)
    os.close(fd)


def test_cwe_59_a_ring_of_links_is_refused(tmp_path: Path, intake: Intake) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    with pytest.raises(HostileInputError, match="is a symbolic link"):
        fetch(folder, intake, tmp_path)


def test_cwe_59_a_link_to_a_folder_outside_is_not_entered(tmp_path: Path, intake: Intake) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("decoy")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.bin").write_text("x")
    (folder / "sub").symlink_to(outside, target_is_directory=True)
    with pytest.raises(HostileInputError, match="sub is a symbolic link"):
        fetch(folder, intake, tmp_path)
