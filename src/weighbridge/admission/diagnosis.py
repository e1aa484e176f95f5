"""Trying each part of an installation for real, for `weighbridge doctor`. Nothing is sent over the network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.admission.installation import Installation
from weighbridge.errors import WeighbridgeError
from weighbridge.plugins import find_units
from weighbridge.vocabulary import Outcome

LOW_SPACE_BYTES = 5_000_000_000
"""Less free space than this is worth a word: models are of this size."""

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """How one part is. UNKNOWN: it works less well than it could, or cannot be tried from here."""

    part: str
    outcome: Outcome
    message: str
    remedy: str = ""


def diagnose(house: Installation) -> tuple[Diagnosis, ...]:
    """Try every part; a part that raises is a FAIL with its own words."""
    parts: tuple[tuple[str, Callable[[Installation], Iterator[Diagnosis]]], ...] = (
        ("home", _home),
        ("isolation", _isolation),
        ("store", _store),
        ("signing", _signing),
        ("policy", _policy),
        ("units", _units),
        ("hub", _hub_settings),
    )
    answers: list[Diagnosis] = []
    for part, look in parts:
        try:
            answers += look(house)
        except OSError as problem:
            message = f"{problem.filename or part}: {problem.strerror}"
            answers.append(Diagnosis(part=part, outcome=Outcome.FAIL, message=message, remedy="set WEIGHBRIDGE_HOME"))
        except WeighbridgeError as problem:
            answers.append(Diagnosis(part=part, outcome=Outcome.FAIL, message=problem.message, remedy=problem.remedy))
    return tuple(answers)


def _home(house: Installation) -> Iterator[Diagnosis]:
    home = house.settings.home
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(above, os.W_OK):
        yield Diagnosis(
            part="home", outcome=Outcome.FAIL, message=f"{above} cannot be written", remedy="set WEIGHBRIDGE_HOME"
        )
        return
    free = shutil.disk_usage(above).free
    message = f"{home}, {free / 1e9:.0f} GB free"
    if free < LOW_SPACE_BYTES:
        remedy = "weighbridge gc, or set WEIGHBRIDGE_HOME to a larger disk"
        yield Diagnosis(part="home", outcome=Outcome.UNKNOWN, message=message, remedy=remedy)
    else:
        yield Diagnosis(part="home", outcome=Outcome.PASS, message=message)


def _isolation(house: Installation) -> Iterator[Diagnosis]:
    from weighbridge.jail.probe import probe_isolation

    held = probe_isolation(search_path=house.environment.get("PATH", os.defpath))
    if held.seccomp:
        landlock = f" and Landlock (ABI {held.landlock_abi})" if held.landlock_abi else ""
        message = f"readers are held by seccomp{landlock} and resource limits; an attempt to open a socket was killed"
        yield Diagnosis(part="isolation", outcome=Outcome.PASS, message=message)
    else:
        message = f"seccomp does not hold here; readers run under resource limits only: {'; '.join(held.problems)}"
        remedy = "run on Linux with seccomp, outside of containers that forbid it"
        yield Diagnosis(part="isolation", outcome=Outcome.UNKNOWN, message=message, remedy=remedy)


def _store(house: Installation) -> Iterator[Diagnosis]:
    from weighbridge.admission.verification import readers_of
    from weighbridge.registry.verification import verify_store

    if not house.registry_root.exists():
        yield Diagnosis(part="store", outcome=Outcome.PASS, message="none yet; the first admission makes one")
        return
    seen = verify_store(house.registry, readers=readers_of(house.verifying_keys()))
    if seen.is_sound:
        message = f"{seen.entries} log entries and {seen.evidence_files} evidence files agree"
        yield Diagnosis(part="store", outcome=Outcome.PASS, message=message)
    else:
        first = seen.problems[0]
        message = f"{len(seen.problems)} things do not agree, the first: {first.subject}: {first.message}"
        remedy = "weighbridge verify, then weighbridge rebuild"
        yield Diagnosis(part="store", outcome=Outcome.FAIL, message=message, remedy=remedy)
    if not house.settings.checkpoint_folders:
        message = "no folder for copies of checkpoints is set, so a log that was put back cannot be told"
        remedy = "set WEIGHBRIDGE_CHECKPOINTS to a folder on another machine or disk"
        yield Diagnosis(part="checkpoints", outcome=Outcome.NOT_APPLICABLE, message=message, remedy=remedy)


def _signing(house: Installation) -> Iterator[Diagnosis]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from weighbridge.attestation.dsse import IN_TOTO, sign_payload, verify_envelope
    from weighbridge.attestation.keys import SigningKey

    trial = SigningKey(Ed25519PrivateKey.generate())
    verify_envelope(sign_payload(b"{}", IN_TOTO, trial), (trial.public_key,))
    signing = next((key for key in house.public_keys() if key.signs), None)
    if signing is None:
        message = "signing and verifying work; no key yet, the first admission makes one"
    else:
        message = f"signing and verifying work; the key here is {signing.key_id[:16]}"
    yield Diagnosis(part="signing", outcome=Outcome.PASS, message=message)


def _policy(house: Installation) -> Iterator[Diagnosis]:
    from weighbridge.policy.rule_tests import run_rule_tests

    document = house.policy_document()
    results = run_rule_tests(document)
    failed = [result for result in results if not result.passed]
    named = f"{document.policy.name}@{document.policy.version}"
    if failed:
        message = f"{named}: {len(failed)} of {len(results)} rule tests fail"
        yield Diagnosis(part="policy", outcome=Outcome.FAIL, message=message, remedy="weighbridge policy test")
    else:
        message = f"{named}: {len(results)} rule tests pass"
        yield Diagnosis(part="policy", outcome=Outcome.PASS, message=message)


def _units(house: Installation) -> Iterator[Diagnosis]:
    from weighbridge.formats.reading.contract import Format

    formats = find_units("formats", Format)
    for unit in (*formats.broken, *house.hubs.broken):
        message = f"{unit.name} failed to load: {unit.reason}"
        remedy = "repair or uninstall it: until then no model is admitted"
        yield Diagnosis(part="units", outcome=Outcome.FAIL, message=message, remedy=remedy)
    message = f"{len(formats.found)} formats, {len(house.hubs.found)} hubs"
    yield Diagnosis(part="units", outcome=Outcome.PASS, message=message)


def _hub_settings(house: Installation) -> Iterator[Diagnosis]:
    said = house.environment
    endpoint = said.get("HF_ENDPOINT", "")
    proxies = [name for name in _PROXIES if said.get(name)]
    token = "is set" if said.get("HF_TOKEN") or said.get("HUGGING_FACE_HUB_TOKEN") else "is not set"
    parts = [
        f"mirror {endpoint}" if endpoint else "no mirror (HF_ENDPOINT)",
        f"proxy by {', '.join(proxies)}" if proxies else "no proxy set",
        f"a token {token} (HF_TOKEN)",
        "offline (HF_HUB_OFFLINE)"
        if said.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}
        else "online",
    ]
    is_odd = bool(endpoint) and not endpoint.startswith(("https://", "http://"))
    yield Diagnosis(
        part="hub",
        outcome=Outcome.FAIL if is_odd else Outcome.PASS,
        message=", ".join(parts),
        remedy="HF_ENDPOINT begins with https://" if is_odd else "",
    )
    bundle = said.get("SSL_CERT_FILE") or said.get("REQUESTS_CA_BUNDLE")
    if bundle and not Path(bundle).exists():
        message = f"the certificate bundle {bundle} is not there"
        yield Diagnosis(part="hub", outcome=Outcome.FAIL, message=message, remedy="correct SSL_CERT_FILE")
