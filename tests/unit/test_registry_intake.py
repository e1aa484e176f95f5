from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.errors import HostileInputError, RegistryError
from weighbridge.registry import intake as intake_module
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import InPlaceIntake, Intake, LeftOut, StagingIntake, WeighedModel, hash_fd
from weighbridge.registry.wire import root_digest

Make = Callable[[], Intake]


@pytest.fixture(params=["staging", "in place"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "in place":
        return InPlaceIntake
    return lambda: StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging")


def take(intake: Intake, folder: Path, path: str, data: bytes, expected: str = "") -> None:
    place = folder / hashlib.sha256(path.encode()).hexdigest()[:8]
    place.write_bytes(data)
    fd = os.open(place, os.O_RDONLY)
    try:
        intake.take(path, fd, expected_sha256=expected)
    finally:
        os.close(fd)


def read(model: WeighedModel, path: str) -> bytes:
    file = next(file for file in model.files if file.path == path)
    fd = file.open_fd()
    try:
        return os.read(fd, file.size_bytes + 1)
    finally:
        os.close(fd)


def test_a_model_is_its_files_in_order_of_their_paths(make: Make, tmp_path: Path) -> None:
    with make() as intake:
        take(intake, tmp_path, "b/config.json", b"{}")
        take(intake, tmp_path, "a.bin", b"weights")
        model = intake.finish()
        assert [entry.path for entry in model.manifest.entries] == ["a.bin", "b/config.json"]
        assert [file.path for file in model.files] == ["a.bin", "b/config.json"]
        assert model.manifest.entries[0].sha256 == hashlib.sha256(b"weights").hexdigest()
        assert model.manifest.entries[0].size_bytes == 7
        assert model.root == root_digest(model.manifest)
        assert read(model, "a.bin") == b"weights"
        assert read(model, "a.bin") == b"weights"
        model.check_unchanged()


def test_both_ways_give_the_same_root(tmp_path: Path) -> None:
    roots = set()
    for intake in (InPlaceIntake(), StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging")):
        with intake:
            take(intake, tmp_path, "a", b"1")
            take(intake, tmp_path, "b", b"")
            roots.add(intake.finish().root)
    assert len(roots) == 1


def test_renaming_a_file_changes_the_root(tmp_path: Path) -> None:
    roots = set()
    for name in ("a", "b"):
        with InPlaceIntake() as intake:
            take(intake, tmp_path, name, b"1")
            roots.add(intake.finish().root)
    assert len(roots) == 2


def test_a_staged_model_is_read_after_its_source_and_its_intake_are_gone(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    source = tmp_path / "source"
    source.mkdir()
    with StagingIntake(blobs, tmp_path / "staging") as intake:
        take(intake, source, "a", b"weights")
        model = intake.finish()
    for path in source.iterdir():
        path.write_bytes(b"other")
    assert not (tmp_path / "staging").exists()
    model.check_unchanged()
    assert read(model, "a") == b"weights"


def test_a_model_without_files_is_refused(make: Make) -> None:
    with make() as intake, pytest.raises(HostileInputError, match="no file"):
        intake.finish()


def test_a_name_is_refused_before_its_bytes_are_read(make: Make, tmp_path: Path) -> None:
    with make() as intake, pytest.raises(HostileInputError, match=r"\.\."):
        intake.take("../a", 10**6)


def test_a_name_cannot_come_twice(make: Make, tmp_path: Path) -> None:
    with make() as intake:
        take(intake, tmp_path, "a", b"1")
        with pytest.raises(HostileInputError, match="twice"):
            take(intake, tmp_path, "a", b"2")


def test_names_are_compared_with_each_other(make: Make, tmp_path: Path) -> None:
    with make() as intake:
        take(intake, tmp_path, "a", b"1")
        take(intake, tmp_path, "A", b"2")
        with pytest.raises(HostileInputError, match="case"):
            intake.finish()


def test_a_digest_that_was_promised_must_hold(make: Make, tmp_path: Path) -> None:
    with make() as intake:
        take(intake, tmp_path, "a", b"1", expected=hashlib.sha256(b"1").hexdigest())
        with pytest.raises(HostileInputError, match="promised"):
            take(intake, tmp_path, "b", b"1", expected=hashlib.sha256(b"2").hexdigest())


def test_names_left_out_are_told(make: Make, tmp_path: Path) -> None:
    with make() as intake:
        take(intake, tmp_path, "a", b"1")
        intake.leave_out(".git/", "version control")
        assert intake.finish().left_out == (LeftOut(path=".git/", reason="version control"),)


def test_progress_ends_at_the_size(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    blobs = BlobStore(tmp_path / "blobs")
    for intake in (
        InPlaceIntake(on_bytes=lambda *step: heard.append(step)),
        StagingIntake(blobs, tmp_path / "staging", on_bytes=lambda *step: heard.append(step)),
    ):
        heard.clear()
        with intake:
            take(intake, tmp_path, "a", bytes(700_000))
        assert heard[-1] == ("a", 700_000, 700_000)
        assert [step[1] for step in heard] == sorted({step[1] for step in heard})


def test_a_header_only_look_reads_nothing_and_has_no_root(tmp_path: Path) -> None:
    with InPlaceIntake(digest=False) as intake:
        huge = tmp_path / "huge.safetensors"
        with huge.open("wb") as file:
            file.truncate(100 << 30)
        fd = os.open(huge, os.O_RDONLY)
        intake.take("huge.safetensors", fd)
        os.close(fd)
        model = intake.finish()
        assert model.root == ""
        assert model.manifest.entries[0].sha256 == ""
        assert model.files[0].size_bytes == 100 << 30
        model.check_unchanged()


@pytest.mark.parametrize("change", ["write", "truncate", "extend", "touch"])
def test_a_file_in_place_that_changes_later_is_refused(tmp_path: Path, change: str) -> None:
    place = tmp_path / "a.bin"
    place.write_bytes(b"weights")
    os.utime(place, (1, 1))
    with InPlaceIntake() as intake:
        fd = os.open(place, os.O_RDONLY)
        intake.take("a.bin", fd)
        os.close(fd)
        model = intake.finish()
        match change:
            case "write":
                place.write_bytes(b"WEIGHTS")
            case "truncate":
                os.truncate(place, 3)
            case "extend":
                os.truncate(place, 30)
            case "touch":
                os.utime(place, (2, 2))
        with pytest.raises(HostileInputError, match=r"a\.bin changed"):
            model.check_unchanged()
        with pytest.raises(HostileInputError, match=r"a\.bin changed"):
            model.files[0].open_fd()


def test_a_file_in_place_is_the_one_that_was_hashed_whatever_takes_its_name(tmp_path: Path) -> None:
    place = tmp_path / "a.bin"
    place.write_bytes(b"weights")
    os.link(place, tmp_path / "kept")  # a second name, so that losing the first changes nothing but the time
    with InPlaceIntake() as intake:
        fd = os.open(place, os.O_RDONLY)
        intake.take("a.bin", fd)
        os.close(fd)
        model = intake.finish()
        (tmp_path / "b").write_bytes(b"trojans")
        assert read(model, "a.bin") == b"weights"
        (tmp_path / "b").replace(place)
        with pytest.raises(HostileInputError, match="changed"):
            read(model, "a.bin")


def test_a_closed_intake_opens_nothing(tmp_path: Path) -> None:
    with InPlaceIntake() as intake:
        take(intake, tmp_path, "a", b"weights")
        model = intake.finish()
    with pytest.raises(ValueError, match="closed"):
        model.files[0].open_fd()


def test_few_descriptors_are_kept_where_files_can_be_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "KEPT_DESCRIPTORS", 4)
    before = len(os.listdir("/proc/self/fd"))
    with InPlaceIntake() as intake:
        for number in range(20):
            place = tmp_path / str(number)
            place.write_bytes(bytes([number]))
            fd = os.open(place, os.O_RDONLY)
            intake.take(str(number), fd, opener=lambda place=place: os.open(place, os.O_RDONLY))
            os.close(fd)
        model = intake.finish()
        assert len(os.listdir("/proc/self/fd")) == before + 4
        assert [read(model, str(number)) for number in range(20)] == [bytes([number]) for number in range(20)]
        model.check_unchanged()
        (tmp_path / "other").write_bytes(b"x")
        (tmp_path / "other").replace(tmp_path / "19")
        with pytest.raises(HostileInputError, match="19 changed"):
            model.check_unchanged()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_staged_blob_that_is_altered_is_refused(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    with StagingIntake(blobs, tmp_path / "staging") as intake:
        take(intake, tmp_path, "a", b"weights")
        model = intake.finish()
    place = blobs.path_of(model.files[0].sha256)
    place.chmod(0o600)
    place.write_bytes(b"trojans")
    with pytest.raises(HostileInputError, match="a changed"):
        model.check_unchanged()
    place.unlink()
    with pytest.raises(HostileInputError, match="not in the store"):
        model.check_unchanged()
    with pytest.raises(RegistryError, match="not in the store"):
        model.files[0].open_fd()


def test_the_same_bytes_staged_again_do_not_disturb_a_model(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    models = []
    for run in ("first", "second"):
        with StagingIntake(blobs, tmp_path / run) as intake:
            take(intake, tmp_path, "a", b"weights")
            models.append(intake.finish())
    for model in models:
        model.check_unchanged()
        assert read(model, "a") == b"weights"


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1, 3_000_000])
def test_hash_fd_is_sha256_of_the_whole_file_wherever_it_stands(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as file:
        file.seek(size // 2)
        assert hash_fd(file.fileno()) == hashlib.sha256(data).hexdigest()
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == size // 2


def test_hash_fd_costs_what_file_digest_costs(tmp_path: Path) -> None:
    """The budget is 1.05; the best of several turns is compared, with room for a busy machine."""
    place = tmp_path / "a"
    place.write_bytes(os.urandom(1 << 20) * 64)

    def cpu(work: Callable[[], object]) -> float:
        before = resource.getrusage(resource.RUSAGE_SELF)
        work()
        after = resource.getrusage(resource.RUSAGE_SELF)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    with place.open("rb") as file:
        theirs = min(cpu(lambda: (file.seek(0), hashlib.file_digest(file, "sha256"))) for _ in range(7))
        ours = min(cpu(lambda: hash_fd(file.fileno())) for _ in range(7))
    assert ours <= 1.25 * theirs
