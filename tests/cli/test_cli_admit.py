"""`admit`: exit codes, one decision for the same question, lists, and what stays when it cannot go on."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_a_clean_model_is_admitted(command: Command, model: Path) -> None:
    done = command("admit", str(model))
    assert done.code == 0
    assert done.out.startswith("verdict")
    assert "admitted" in done.out
    files = sum(1 for path in model.rglob("*") if path.is_file())
    assert f"{files} files, {files} read, 0 bytes unexplained" in done.out, "a clean report says what was looked at"


def test_a_trapped_model_is_refused_with_where_and_what_to_do(command: Command, trapped: Path) -> None:
    done = command("admit", str(trapped))
    assert done.code == 1
    assert "rule no-code-in-weights" in done.out
    assert "posix.system" in done.out
    assert "optimizer.pt!optimizer/data.pkl" in done.out
    assert "weighbridge waive no-code-in-weights" in done.out


def test_what_nobody_can_read_is_referred(command: Command, odd: Path) -> None:
    done = command("admit", str(odd))
    assert done.code == 3
    assert "referred" in done.out


def test_a_missing_model_breaks_before_a_verdict(command: Command, tmp_path: Path) -> None:
    done = command("admit", str(tmp_path / "nothing"))
    assert done.code == 4
    assert "nothing" in done.err


def test_a_link_in_the_model_is_refused_at_the_door(command: Command, model: Path) -> None:
    (model / "weights.bin").symlink_to("/etc/hostname")
    done = command("admit", str(model))
    assert done.code == 1
    assert "weights.bin" in done.err
    assert command("list").out == ""


def test_usage_errors_exit_2(command: Command, model: Path) -> None:
    assert command("admit").code == 2
    assert command("admit", "--nonsense", str(model)).code == 2
    assert command("admit", "not a reference at all").code == 2
    assert command("nonsense").code == 2


def test_the_same_question_gives_the_same_decision(command: Command, model: Path) -> None:
    first = command("admit", str(model), "--json").document
    assert command("admit", str(model), "--json").document["digest"] == first["digest"]
    other_use = command("admit", str(model), "--purpose", "search", "--json").document
    assert other_use["digest"] != first["digest"]
    assert other_use["decision"]["subject"] == first["decision"]["subject"]


def test_json_is_one_versioned_document(command: Command, model: Path, trapped: Path) -> None:
    for folder, verdict in ((model, "admit"), (trapped, "refuse")):
        document = command("admit", str(folder), "--json").document
        assert document["schema"] == "weighbridge/admission"
        assert document["version"] == 1
        assert document["decision"]["verdict"] == verdict
    broken = command("admit", "./nothing-there", "--json").document
    assert broken["schema"] == "weighbridge/error"
    assert broken["error"]["message"]


def test_a_list_is_admitted_and_gone_on_with(
    command: Command, model: Path, trapped: Path, odd: Path, tmp_path: Path
) -> None:
    listing = tmp_path / "models.txt"
    listing.write_text(f"# ours\n{model}\n\n{odd}\n{trapped}\n{tmp_path / 'gone'}\n")
    first = command("admit", "--from", str(listing))
    assert first.code == 1
    assert first.out.count("decision ") == 3
    assert "gone" in first.err
    before = command("list", "--all", "--json").document
    assert command("admit", "--from", str(listing)).code == 1
    assert command("list", "--all", "--json").document == before


def test_an_empty_list_is_a_usage_error(command: Command, tmp_path: Path) -> None:
    listing = tmp_path / "models.txt"
    listing.write_text("# nothing\n")
    assert command("admit", "--from", str(listing)).code == 2


def test_no_decision_without_a_log(command: Command, model: Path, odd: Path, data_folder: Path) -> None:
    assert command("admit", str(model)).code == 0
    database = data_folder / "registry" / "registry.sqlite"
    kept = {path: path.read_bytes() for path in database.parent.glob("registry.sqlite*")}
    for path in kept:
        path.unlink()
    refused = command("admit", str(odd))
    assert refused.code == 4
    assert "rebuild" in refused.err
    assert not database.exists()
    for path, data in kept.items():
        path.write_bytes(data)
    assert command("admit", str(odd)).code == 3


def test_hostile_names_are_escaped(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "\x1b[31mred.bin").write_bytes(b"\x00\x01")
    done = command("admit", str(folder))
    assert done.code == 1
    assert "\x1b[31m" not in done.out + done.err


def test_a_folder_of_nothing_is_not_admitted(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert command("admit", str(tmp_path / "empty")).code == 1


def test_a_waiver_lifts_a_refusal_until_it_ends(command: Command, trapped: Path) -> None:
    command("admit", str(trapped))
    by_owner = command("waive", "no-code-in-weights", str(trapped), "--reason", "a drill", "--by", "")
    assert by_owner.code == 2
    too_long = command(
        "waive", "no-code-in-weights", str(trapped), "--reason", "x", "--by", "eve", "--until", "2999-01-01"
    )
    assert too_long.code == 2
    unknown = command("waive", "no-such-rule", str(trapped), "--reason", "x", "--by", "eve")
    assert unknown.code == 2
    waived = command(
        "waive",
        "no-code-in-weights",
        str(trapped),
        "--reason",
        "a drill",
        "--control",
        "in a sandbox only",
        "--by",
        "eve",
    )
    assert waived.code == 0, waived.err
    again = command("admit", str(trapped), "--json").document["decision"]
    assert "in a sandbox only" in str(again["conditions"]) or again["verdict"] != "admit"
    assert again["verdict"] != "admit"
    assert len(again["waivers"]) == 1
    assert command("replay").code == 0
    assert command("verify").code == 0


def test_an_approval_needs_a_referral_and_another_person(command: Command, odd: Path, model: Path) -> None:
    command("admit", str(model), "--owner", "ana")
    assert command("approve", str(model), "--by", "bob", "--reason", "fine").code == 2
    command("admit", str(odd), "--owner", "ana")
    assert command("approve", str(odd), "--by", "ana", "--reason", "mine").code == 2
    assert command("approve", str(odd), "--by", "bob", "--reason", " ").code == 2
    approved = command("approve", str(odd), "--by", "bob", "--reason", "extra.bin is a picture")
    assert approved.code == 0, approved.err
    assert "extra.bin is a picture" in approved.out
    assert command("admit", str(odd), "--owner", "ana").code == 0
    assert command("admit", str(odd), "--owner", "ana", "--again").code == 0
    assert command("admit", str(odd), "--owner", "eve").code == 3
    assert command("replay").code == 0


def test_interruption_leaves_nothing_half_done(
    command: Command, model: Path, data_folder: Path, monkeypatch: object
) -> None:
    import weighbridge.admission.admit as story

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    kept = story.examine
    story.examine = interrupted
    try:
        stopped = command("admit", str(model))
    finally:
        story.examine = kept
    assert stopped.code == 4
    assert "again" in stopped.err
    left = [path for path in (data_folder / "registry" / "staging").rglob("*") if path.is_file()]
    assert left == []
    assert command("admit", str(model)).code == 0
