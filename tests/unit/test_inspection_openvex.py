"""OpenVEX documents: what the specification and its schema ask for, and the same bytes for the same input."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from weighbridge.inspection.loaders import answer, parse_loader
from weighbridge.inspection.openvex import openvex
from weighbridge.vocabulary import Artifact, ByteAccount, Dossier, Evidence, Finding, Outcome, Severity

HASH, OTHER, SUBJECT = "cd" * 32, "ef" * 32, "ab" * 32
MOMENT = datetime(2026, 11, 24, 12, 30, 1, 999, tzinfo=UTC)

TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
IRI: dict[str, Any] = {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*:[!-~]+$"}
TIME: dict[str, Any] = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


SUBCOMPONENT = closed(["@id"], **{"@id": IRI, "identifiers": closed(["purl"], purl=IRI)})
PRODUCT = closed(
    ["@id", "hashes", "subcomponents"],
    **{
        "@id": IRI,
        "identifiers": closed(["purl"], purl=IRI),
        "hashes": closed(["sha-256"], **{"sha-256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}),
        "subcomponents": {"type": "array", "minItems": 1, "uniqueItems": True, "items": SUBCOMPONENT},
    },
)
STATEMENT = closed(
    ["vulnerability", "products", "status"],
    vulnerability=closed(["name"], **{"@id": IRI, "name": {"type": "string", "pattern": "^CVE-"}}),
    products={"type": "array", "minItems": 1, "uniqueItems": True, "items": PRODUCT},
    status={"enum": ["not_affected", "affected", "fixed", "under_investigation"]},
    status_notes=TEXT,
    justification={
        "enum": [
            "component_not_present",
            "vulnerable_code_not_present",
            "vulnerable_code_not_in_execute_path",
            "vulnerable_code_cannot_be_controlled_by_adversary",
            "inline_mitigations_already_exist",
        ]
    },
    action_statement=TEXT,
)
STATEMENT["allOf"] = [
    {
        "if": {"properties": {"status": {"const": "not_affected"}}},
        "then": {"required": ["justification"]},
        "else": {"not": {"required": ["justification"]}},
    },
    {
        "if": {"properties": {"status": {"const": "affected"}}},
        "then": {"required": ["action_statement"]},
        "else": {"not": {"required": ["action_statement"]}},
    },
]
DOCUMENT = closed(
    ["@context", "@id", "author", "timestamp", "version", "statements"],
    **{
        "@context": {"const": "https://openvex.dev/ns/v0.2.0"},
        "@id": IRI,
        "author": TEXT,
        "timestamp": TIME,
        "version": {"type": "integer", "minimum": 1},
        "tooling": TEXT,
        "statements": {"type": "array", "minItems": 1, "uniqueItems": True, "items": STATEMENT},
    },
)
"""What sections "Document", "Statement", "Product" and "Status" of OPENVEX-SPEC.md 0.2.0 ask for, narrowed to what is written here."""


def file(path: str = "m.gguf", sha256: str = HASH, form: str = "gguf") -> Artifact:
    return Artifact(path=path, size_bytes=9, sha256=sha256, format=form, account=ByteAccount(header_bytes=9))


def finding(outcome: Outcome, message: str, path: str = "m.gguf", check: str = "gguf.offset") -> Finding:
    place = Evidence(artifact=path)
    return Finding(check=check, outcome=outcome, severity=Severity.HIGH, message=message, evidence=(place,))


LIES = finding(Outcome.FAIL, "tensor 'x' leaves the file")
LIMIT = finding(Outcome.UNKNOWN, "too much", check="gguf.limit")


def document(
    *loaders: str, artifacts: tuple[Artifact, ...] = (), findings: tuple[Finding, ...] = (), moment: datetime = MOMENT
) -> dict[str, Any]:
    dossier = Dossier(subject=SUBJECT, artifacts=artifacts or (file(),), findings=findings)
    told, assessments = answer(dossier, [parse_loader(loader) for loader in loaders])
    text = openvex(told, assessments, version="1.2.3", moment=moment)
    assert text.isascii()
    made = json.loads(text)
    assert list(Draft202012Validator(DOCUMENT).iter_errors(made)) == []
    return made


@pytest.mark.parametrize(
    ("loader", "findings", "form", "expected"),
    [
        ("ollama 0.17.0", (LIES,), "gguf", ("affected", None)),
        ("ollama 0.17.0", (LIMIT,), "gguf", ("under_investigation", None)),
        ("ollama 0.17.0", (), "gguf", ("not_affected", "vulnerable_code_cannot_be_controlled_by_adversary")),
        ("ollama 0.17.0", (), "text", ("not_affected", "vulnerable_code_not_in_execute_path")),
        ("ollama 0.17.1", (LIES,), "gguf", ("fixed", None)),
        ("llama-cpp-python 0.2.1", (), "gguf", ("not_affected", "vulnerable_code_not_present")),
    ],
)
def test_statuses(loader: str, findings: tuple[Finding, ...], form: str, expected: tuple[str, str | None]) -> None:
    [statement] = document(loader, artifacts=(file(form=form),), findings=findings)["statements"]
    assert (statement["status"], statement.get("justification")) == expected


def test_the_product_is_the_file_by_digest_and_the_loader_its_part() -> None:
    [statement] = document("ollama 0.17.0", findings=(LIES,))["statements"]
    [product] = statement["products"]
    assert product["hashes"] == {"sha-256": HASH}
    assert product["@id"] == f"pkg:generic/m.gguf?checksum=sha256:{HASH}"
    assert [part["@id"] for part in product["subcomponents"]] == ["pkg:github/ollama/ollama@0.17.0"]
    assert statement["vulnerability"]["name"] == "CVE-2026-7482"
    assert "0.17.1" in statement["action_statement"]


def test_without_a_file_of_the_format_the_product_is_the_model() -> None:
    [statement] = document("ollama 0.17.0", artifacts=(file(form="text"),))["statements"]
    assert [product["hashes"]["sha-256"] for product in statement["products"]] == [SUBJECT]


def test_files_of_one_model_are_told_apart() -> None:
    artifacts = (file(), file("other.gguf", OTHER))
    statements = document("ollama 0.17.0", artifacts=artifacts, findings=(LIES,))["statements"]
    said = {item["status"]: [product["hashes"]["sha-256"] for product in item["products"]] for item in statements}
    assert said == {"affected": [HASH], "not_affected": [OTHER]}


def test_a_file_inside_an_archive_speaks_for_the_archive() -> None:
    inside = finding(Outcome.FAIL, "tensor 'x' leaves the file", "a.zip!m.gguf")
    shaped = finding(Outcome.FAIL, "the structure is not sound", "a.zip!m.gguf", "gguf.structure")
    [statement] = document("ollama 0.17.0", artifacts=(file("a.zip", form="zip"),), findings=(inside, shaped))[
        "statements"
    ]
    assert (statement["status"], statement["products"][0]["hashes"]["sha-256"]) == ("affected", HASH)


def test_the_same_input_gives_the_same_document_in_any_zone() -> None:
    here = MOMENT.astimezone(timezone(timedelta(hours=5)))
    assert document("torch 2.9") == document("torch 2.9", moment=here)
    later = document("torch 2.9", moment=MOMENT + timedelta(seconds=1))
    assert later["@id"] != document("torch 2.9")["@id"]
    assert document("torch 2.9")["timestamp"] == "2026-11-24T12:30:01Z"


def test_hostile_names_stay_inside_their_address() -> None:
    made = document("ollama 0.17.0", artifacts=(file('../ü ?#@"\n.gguf'),), findings=())
    [product] = made["statements"][0]["products"]
    assert re.fullmatch(r"pkg:generic/[A-Za-z0-9%./_~-]+\?checksum=sha256:[0-9a-f]{64}", product["@id"])
    made = document("torch 2.9.1+cu128")
    assert made["statements"][0]["products"][0]["subcomponents"][0]["@id"] == "pkg:pypi/torch@2.9.1%2Bcu128"


def test_every_loader_gives_a_valid_document() -> None:
    names = ("torch", "keras", "tensorflow", "transformers", "onnx", "numpy", "llama-cpp-python", "ollama")
    for version in ("0.1", "1.14", "2.9", "3.8", "4.30", "99"):
        assert document(*(f"{name} {version}" for name in names), "llama.cpp b1900")["statements"]
