from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from weighbridge.errors import AccessDeniedError, HostileInputError, HubError, ModelNotFoundError, UsageError
from weighbridge.hubs.access.contract import HubAccess
from weighbridge.hubs.huggingface import HUB
from weighbridge.registry.blobs import BlobStore
from weighbridge.registry.intake import StagingIntake, WeighedModel
from weighbridge.testing.hub_server import HubServer
from weighbridge.testing.loopback import LoopbackProxy

WEIGHTS = bytes(range(256)) * 40_000
FILES = {"model.safetensors": WEIGHTS, "config.json": b'{"a":1}', "1_Pooling/config.json": b"{}", "empty": b""}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer().running() as server:
        yield server


@pytest.fixture
def access(hub: HubServer, tmp_path: Path) -> HubAccess:
    return HubAccess(
        environment={"HF_ENDPOINT": hub.url}, download_folder=tmp_path / "downloads", wait=lambda seconds: None
    )


def weigh(access: HubAccess, tmp_path: Path, name: str = "acme/tiny", revision: str = "") -> WeighedModel:
    with StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging") as intake:
        HUB.fetch(HUB.resolve(name, revision, access), intake, access)
        return intake.finish()


def kept(tmp_path: Path) -> list[int]:
    return sorted(path.stat().st_size for path in (tmp_path / "downloads").rglob("*") if path.is_file())


def with_environment(access: HubAccess, **more: str) -> HubAccess:
    return replace(access, environment={**access.environment, **more})


def test_a_model_is_fetched_whole_and_nothing_is_left_in_the_download_folder(
    hub: HubServer, access: HubAccess, tmp_path: Path
) -> None:
    hub.publish("acme/tiny", FILES)
    model = weigh(access, tmp_path)
    found = {entry.path: (entry.size_bytes, entry.sha256) for entry in model.manifest.entries}
    assert found == {path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in FILES.items()}
    assert kept(tmp_path) == []
    assert list((tmp_path / "downloads").iterdir()) == []
    assert hub.bytes_sent == sum(map(len, FILES.values()))


def test_a_branch_is_pinned_to_its_commit_while_it_moves(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    first = hub.publish("acme/tiny", FILES)
    ref = HUB.resolve("acme/tiny", "", access)
    assert (ref.name, ref.revision) == ("acme/tiny", first)
    second = hub.publish("acme/tiny", FILES | {"config.json": b'{"a":2}'})
    with StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging") as intake:
        HUB.fetch(ref, intake, access)
        config = next(entry for entry in intake.finish().manifest.entries if entry.path == "config.json")
    assert config.sha256 == hashlib.sha256(b'{"a":1}').hexdigest()
    assert HUB.resolve("acme/tiny", "main", access).revision == second
    assert HUB.resolve("acme/tiny", first, access).revision == first


def test_a_revision_with_a_slash_is_asked_for_as_one(hub: HubServer, access: HubAccess) -> None:
    commit = hub.publish("acme/tiny", FILES, branch="refs/pr/1")
    assert HUB.resolve("acme/tiny", "refs/pr/1", access).revision == commit


def test_names_with_spaces_and_percents_are_fetched(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    files = {"a b.txt": b"1", "100%25.txt": b"2", "модель#1.txt": b"3" * 2000, "q?x=1": b"4"}
    hub.publish("acme/tiny", files)
    assert {entry.path for entry in weigh(access, tmp_path).manifest.entries} == set(files)


def test_a_cut_connection_goes_on_where_it_broke(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    hub.faults.cuts = {"model.safetensors": [3_000_000, 1_000_000, 500_000]}
    weigh(access, tmp_path)
    assert hub.bytes_sent == sum(map(len, FILES.values()))
    assert [asked.headers.get("range") for asked in hub.asked_content] == [
        None,
        "bytes=3000000-",
        "bytes=4000000-",
        "bytes=4500000-",
    ]


def test_a_run_that_was_stopped_is_resumed_by_the_next(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)

    def stop(path: str, done: int, total: int) -> None:
        if done >= 4_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weigh(replace(access, on_bytes=stop), tmp_path)
    (have,) = kept(tmp_path)
    assert have >= 4_000_000
    before = hub.bytes_sent
    hub.asked_content.clear()
    weigh(access, tmp_path)
    assert hub.asked_content[0].headers["range"] == f"bytes={have}-"
    assert hub.bytes_sent - before == sum(map(len, FILES.values())) - have
    assert kept(tmp_path) == []


def test_files_that_came_whole_are_not_asked_for_again(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", {"a.bin": bytes(5000), "b.bin": bytes(6000)})
    hub.faults.cuts = {"b.bin": [0] * 20}
    with pytest.raises(HubError, match=r"ended 5 times at byte 0 of the 6000 promised of b\.bin") as caught:
        weigh(access, tmp_path)
    assert "goes on" in caught.value.remedy
    assert kept(tmp_path) == [0, 5000]
    hub.faults.cuts = {}
    hub.asked_content.clear()
    weigh(access, tmp_path)
    assert [asked.path.rsplit("/", 1)[1] for asked in hub.asked_content] == ["b.bin"]


@pytest.mark.parametrize("ignores_range", [True, False])
@pytest.mark.parametrize("data", [b"", bytes(10), bytes(5000)])
def test_a_server_that_sends_less_than_it_promised_and_ends_cleanly_is_given_up(
    hub: HubServer, access: HubAccess, tmp_path: Path, data: bytes, *, ignores_range: bool
) -> None:
    hub.publish("acme/tiny", {"model.safetensors": data})
    hub.faults.missing = 9
    hub.faults.ignores_range = ignores_range
    waited: list[float] = []
    told = f"ended 5 times at byte {len(data)} of the {len(data) + 9} promised of model.safetensors"
    with pytest.raises(HubError, match=told) as caught:
        weigh(replace(access, wait=waited.append), tmp_path)
    assert "ask whoever runs the hub" in caught.value.remedy
    assert waited == [1.0, 2.0, 4.0, 8.0] if not data else [1.0, 1.0, 2.0, 4.0]


def test_a_download_that_falls_back_again_and_again_is_given_up(
    hub: HubServer, access: HubAccess, tmp_path: Path
) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.ignores_range = True
    hub.faults.cuts = {"model.safetensors": [5000, 3000] * 20}
    with pytest.raises(HubError, match="ended 5 times at byte 5000 of"):
        weigh(access, tmp_path)
    assert len(hub.asked_content) == 5


def test_pieces_that_bring_a_file_further_are_no_failure(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.cuts = {"model.safetensors": [1_000_000] * 9}
    assert len(weigh(access, tmp_path).files) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": f"bytes {'9' * 5000}-"},
        {"Content-Range": "bytes \xb2-"},
        {"Content-Range": "-"},
    ],
)
def test_a_reply_that_goes_on_nowhere_is_given_up(
    hub: HubServer, access: HubAccess, tmp_path: Path, headers: dict[str, str]
) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.headers = headers
    hub.faults.cuts = {"model.safetensors": [5] * 10}
    with pytest.raises(HubError, match="ended 5 times"):
        weigh(access, tmp_path)


@pytest.mark.parametrize("wait", ["\xb2", "9" * 5000, "-1", "soon", "1e9", "nan", ""])
def test_a_wait_that_is_no_number_of_seconds_is_chosen_here(
    hub: HubServer, access: HubAccess, tmp_path: Path, wait: str
) -> None:
    hub.publish("acme/tiny", {"a.bin": b"1", "b.bin": b"2"})
    hub.faults.headers = {"Retry-After": wait}
    waited: list[float] = []

    def on_bytes(path: str, done: int, total: int) -> None:
        hub.faults.busy = 1 if path == "a.bin" else 0

    weigh(replace(access, wait=waited.append, on_bytes=on_bytes), tmp_path)
    assert waited == [1.0]


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "http://[::1",
        "http://127.0.0.1:99999999/x",
        "http://xn--a\x7f/",
        "ftp://x/",
    ],
)
def test_a_redirect_to_no_address_is_told_at_once(
    hub: HubServer, access: HubAccess, tmp_path: Path, target: str
) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.headers = {"Location": target}
    waited: list[float] = []
    with pytest.raises(HubError, match=r"model\.safetensors redirects to .*, which is no address") as caught:
        weigh(replace(access, wait=waited.append), tmp_path)
    assert waited == []
    assert "goes on" not in caught.value.remedy


def test_a_server_that_ignores_ranges_is_read_from_the_start(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    hub.faults.ignores_range = True
    hub.faults.cuts = {"model.safetensors": [3_000_000]}
    assert len(weigh(access, tmp_path).files) == 4


def test_bytes_kept_from_a_crash_that_are_wrong_are_fetched_again(
    hub: HubServer, access: HubAccess, tmp_path: Path
) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.cuts = {"model.safetensors": [4_000_000] + [0] * 10}
    with pytest.raises(HubError):
        weigh(access, tmp_path)
    (part,) = (path for path in (tmp_path / "downloads").rglob("*") if path.is_file())
    part.write_bytes(bytes(4_000_000))
    hub.faults.cuts = {}
    (entry,) = weigh(access, tmp_path).manifest.entries
    assert entry.sha256 == hashlib.sha256(WEIGHTS).hexdigest()


def test_a_longer_part_than_the_file_is_thrown_away(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.cuts = {"model.safetensors": [0] * 5}
    with pytest.raises(HubError):
        weigh(access, tmp_path)
    (part,) = (path for path in (tmp_path / "downloads").rglob("*") if path.is_file())
    part.write_bytes(WEIGHTS + b"x")
    assert weigh(access, tmp_path).manifest.entries[0].sha256 == hashlib.sha256(WEIGHTS).hexdigest()


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_wrong_bytes_under_the_right_etag_are_refused_with_both_digests(
    hub: HubServer, access: HubAccess, tmp_path: Path, path: str
) -> None:
    hub.publish("acme/tiny", FILES)
    hub.faults.wrong_bytes = {path}
    with pytest.raises(HostileInputError, match=rf"{path} has (sha256|git sha1) [0-9a-f]+, the .* promised [0-9a-f]+"):
        weigh(access, tmp_path)
    hub.faults.wrong_bytes = set()
    assert len(weigh(access, tmp_path).files) == 4


def test_a_wrong_digest_in_the_listing_is_refused(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    hub.faults.wrong_sha256 = {"model.safetensors"}
    with pytest.raises(HostileInputError, match=r"model\.safetensors has sha256"):
        weigh(access, tmp_path)


def test_more_bytes_than_were_promised_are_not_kept(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", {"model.safetensors": WEIGHTS})
    hub.faults.surplus = 10_000_000
    with pytest.raises(HostileInputError, match="longer than"):
        weigh(access, tmp_path)
    assert sum(kept(tmp_path)) == 0


def test_a_hub_without_digests_is_not_believed(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    hub.faults.hides_digests = True
    with pytest.raises(HubError, match="no digest"):
        weigh(access, tmp_path)


@pytest.mark.parametrize("commit", ["f" * 40, "main", "../../x"])
def test_a_commit_other_than_the_one_asked_for_is_refused(hub: HubServer, access: HubAccess, commit: str) -> None:
    pinned = hub.publish("acme/tiny", FILES)
    hub.faults.commit = commit
    with pytest.raises(HostileInputError, match="answers with commit"):
        HUB.resolve("acme/tiny", pinned, access)


@pytest.mark.parametrize(
    "name", ["../../escape", "/etc/cron.d/x", "a\\..\\b", "a/../../b", "Config.json", "a\x00b", "CON"]
)
def test_hostile_names_of_a_hub_are_refused_before_anything_is_fetched(
    hub: HubServer, access: HubAccess, tmp_path: Path, name: str
) -> None:
    hub.publish("acme/tiny", FILES)
    hub.faults.names = {"empty": name}
    with pytest.raises(HostileInputError, match="the name"):
        weigh(access, tmp_path)
    assert hub.asked_content == []
    assert all("/resolve/" not in asked.path for asked in hub.asked)


def test_a_busy_server_is_asked_again(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    ref = HUB.resolve("acme/tiny", "", access)
    waited: list[float] = []

    def on_bytes(path: str, done: int, total: int) -> None:
        if path == "model.safetensors" and done == total:
            hub.faults.busy = 3

    with StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / "staging") as intake:
        HUB.fetch(ref, intake, replace(access, on_bytes=on_bytes, wait=waited.append))
        assert len(intake.finish().files) == 4
    assert waited == [1.0, 2.0, 4.0]


def test_progress_follows_the_bytes(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    heard: list[tuple[str, int, int]] = []
    weigh(replace(access, on_bytes=lambda *step: heard.append(step)), tmp_path)
    assert ("model.safetensors", len(WEIGHTS), len(WEIGHTS)) in heard
    assert ("config.json", 7, 7) in heard


def test_a_gated_model_says_which_page_to_visit_and_how_to_give_a_token(hub: HubServer, access: HubAccess) -> None:
    hub.publish("acme/tiny", FILES, token="hf_secret", gated=True)
    with pytest.raises(AccessDeniedError, match="gated") as caught:
        HUB.resolve("acme/tiny", "", access)
    assert f"{hub.url}/acme/tiny" in caught.value.remedy
    assert "HF_TOKEN" in caught.value.remedy


def test_a_missing_model_may_be_private(hub: HubServer, access: HubAccess) -> None:
    with pytest.raises(ModelNotFoundError, match="private"):
        HUB.resolve("acme/nothing", "", access)
    hub.publish("acme/tiny", FILES, token="hf_secret")
    with pytest.raises(ModelNotFoundError, match="private") as caught:
        HUB.resolve("acme/tiny", "", with_environment(access, HF_TOKEN="hf_other"))
    assert "token" in caught.value.remedy


def test_a_missing_revision_is_told(hub: HubServer, access: HubAccess) -> None:
    hub.publish("acme/tiny", FILES)
    with pytest.raises(ModelNotFoundError, match="no revision v9"):
        HUB.resolve("acme/tiny", "v9", access)


@pytest.mark.parametrize(
    "name", ["", "acme/../tiny", "acme/ti ny", "a/b/c", "acme/--x", "acme/tiny?x", "é/x", "a" * 300]
)
def test_what_cannot_be_a_name_is_not_asked_for(hub: HubServer, access: HubAccess, name: str) -> None:
    with pytest.raises(UsageError):
        HUB.resolve(name, "", access)
    assert hub.asked == []


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"])
def test_the_token_goes_to_the_endpoint_and_not_to_where_it_redirects(
    hub: HubServer, access: HubAccess, tmp_path: Path, variable: str
) -> None:
    hub.publish("acme/tiny", FILES, token="hf_secret")
    (tmp_path / "token").write_text("hf_secret\n")
    value = str(tmp_path / "token") if variable == "HF_TOKEN_PATH" else "hf_secret"
    weigh(with_environment(access, **{variable: value}), tmp_path)
    assert {asked.headers.get("authorization") for asked in hub.asked} == {"Bearer hf_secret"}
    assert hub.asked_content
    assert not any("authorization" in asked.headers or "hf_secret" in str(asked) for asked in hub.asked_content)


def test_a_token_of_the_process_is_not_used(
    hub: HubServer, access: HubAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("acme/tiny", FILES)
    monkeypatch.setenv("HF_TOKEN", "hf_surprise")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    weigh(access, tmp_path)
    assert not any("authorization" in asked.headers for asked in hub.asked)


@pytest.mark.parametrize("url", ["http://hub.example", "HTTP://hub.example", "http://127.0.0.1@hub.example"])
def test_a_token_never_leaves_unencrypted(access: HubAccess, url: str) -> None:
    with pytest.raises(UsageError, match="unencrypted"):
        HUB.resolve("acme/tiny", "", with_environment(access, HF_ENDPOINT=url, HF_TOKEN="hf_secret"))


def test_nothing_is_said_about_the_machine(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    weigh(access, tmp_path)
    assert {asked.headers["user-agent"] for asked in [*hub.asked, *hub.asked_content]} == {"weighbridge"}
    assert {asked.headers["accept-encoding"] for asked in [*hub.asked, *hub.asked_content]} == {"identity"}


def test_the_proxy_of_the_environment_is_used(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    hub.publish("acme/tiny", FILES)
    with LoopbackProxy().running() as proxy:
        weigh(with_environment(access, HTTP_PROXY=proxy.url), tmp_path)
        assert len(proxy.asked) == len(hub.asked) + len(hub.asked_content)
        assert all(asked.path.startswith("http://127.0.0.1:") for asked in proxy.asked)


def test_an_encrypted_endpoint_is_asked_through_the_proxy(access: HubAccess) -> None:
    with LoopbackProxy().running() as proxy:
        environment = with_environment(access, HTTPS_PROXY=proxy.url, HF_ENDPOINT="https://hub.example")
        with pytest.raises(HubError, match=r"https://hub\.example cannot be reached") as caught:
            HUB.resolve("acme/tiny", "", environment)
        assert [(asked.method, asked.path) for asked in proxy.asked] == [("CONNECT", "hub.example:443")]
        assert "HTTPS_PROXY" in caught.value.remedy


@pytest.mark.parametrize("token", ["hf_\u20ac", "hf_\xe9", "hf_a\nX-Evil: 1", "hf a", "hf_\x7f"])
@pytest.mark.parametrize("variable", ["HF_TOKEN", "HF_TOKEN_PATH"])
def test_a_token_that_cannot_be_one_is_told_without_saying_it(
    hub: HubServer, access: HubAccess, tmp_path: Path, variable: str, token: str
) -> None:
    (tmp_path / "token").write_text(token, encoding="utf-8")
    value = str(tmp_path / "token") if variable == "HF_TOKEN_PATH" else token
    with pytest.raises(UsageError, match="no token has") as caught:
        HUB.resolve("acme/tiny", "", with_environment(access, **{variable: value}))
    assert "HF_TOKEN" in caught.value.remedy
    assert token not in f"{caught.value} {caught.value.remedy}"
    assert hub.asked == []


@pytest.mark.parametrize("path", ["/nowhere/token", "a\0b"])
def test_a_token_file_that_cannot_be_read_is_told(access: HubAccess, path: str) -> None:
    with pytest.raises(HubError, match="cannot be read"):
        HUB.resolve("acme/tiny", "", with_environment(access, HF_TOKEN_PATH=path))


@pytest.mark.parametrize("token", ["", "hf_secret"])
@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://\u2100.x/",
        "http://127.0.0.1:999999",
        f"http://h:{'9' * 5000}",
        "ftp://h",
        "http://",
        "http://a\nb",
    ],
)
def test_an_endpoint_that_is_no_address_is_told(access: HubAccess, url: str, token: str) -> None:
    with pytest.raises(UsageError, match="HF_ENDPOINT is no URL"):
        HUB.resolve("acme/tiny", "", with_environment(access, HF_ENDPOINT=url, HF_TOKEN=token))


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "localhost,127.0.0.1"])
def test_no_proxy_is_respected(hub: HubServer, access: HubAccess, tmp_path: Path, exception: str) -> None:
    hub.publish("acme/tiny", FILES)
    with LoopbackProxy().running() as proxy:
        weigh(with_environment(access, HTTP_PROXY=proxy.url, NO_PROXY=exception), tmp_path)
        assert proxy.asked == []


def test_offline_asks_nobody(hub: HubServer, access: HubAccess) -> None:
    for offline in (replace(access, offline=True), with_environment(access, HF_HUB_OFFLINE="1")):
        with pytest.raises(HubError, match="offline"):
            HUB.resolve("acme/tiny", "", offline)
    assert hub.asked == []


def test_a_server_that_is_not_there_says_what_to_check(access: HubAccess) -> None:
    with pytest.raises(HubError, match="cannot be reached") as caught:
        HUB.resolve("acme/tiny", "", with_environment(access, HF_ENDPOINT="http://127.0.0.1:9"))
    assert "HF_ENDPOINT" in caught.value.remedy


@pytest.mark.parametrize(
    "setting",
    [
        {"HF_ENDPOINT": "hub.example"},
        {"HTTP_PROXY": "ftp://x"},
        {"HTTP_PROXY": "http://[::1"},
        {"HTTP_PROXY": "http://127.0.0.1:999999"},
        {"NO_PROXY": "[::1"},
        {"SSL_CERT_FILE": "/nowhere/ca.pem"},
    ],
)
def test_a_setting_that_cannot_be_used_is_told(access: HubAccess, setting: dict[str, str]) -> None:
    with pytest.raises((HubError, UsageError)) as caught:
        HUB.resolve("acme/tiny", "", with_environment(access, **setting))
    assert caught.value.remedy


def test_two_fetches_of_one_model_share_no_file(hub: HubServer, access: HubAccess, tmp_path: Path) -> None:
    """A second process waits for the first; here the first is in the middle of its download."""
    from concurrent.futures import ThreadPoolExecutor

    hub.publish("acme/tiny", FILES)

    def one(number: int) -> str:
        with StagingIntake(BlobStore(tmp_path / "blobs"), tmp_path / f"staging{number}") as intake:
            HUB.fetch(HUB.resolve("acme/tiny", "", access), intake, access)
            return intake.finish().root

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, range(4)))) == 1
    assert kept(tmp_path) == []
    assert os.listdir(tmp_path / "downloads") == []
