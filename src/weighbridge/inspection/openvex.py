"""What a model may do to a loader as an OpenVEX document, version 0.2.0. The same input at the same time gives the same bytes.

A product is a file of the model, or the whole model, by its digest; the loader in its version is the subcomponent. A file inside
an archive speaks for the file that holds it, which is the one that has a digest.

https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from weighbridge.inspection.loader_advisories import Reach
from weighbridge.inspection.loaders import Assessment, Status
from weighbridge.inspection.sarif import outer_artifact
from weighbridge.vocabulary import Artifact, Dossier

CONTEXT = "https://openvex.dev/ns/v0.2.0"
AUTHOR = "weighbridge"
_ID = "https://openvex.dev/docs/public/vex-"
"""Where vexctl puts documents that nobody published under a name of their own; the digest of the content follows."""
_ORDER = (Status.AFFECTED, Status.UNDER_INVESTIGATION, Status.NOT_AFFECTED)
_NOT_PRESENT = "vulnerable_code_not_present"
_NOT_REACHED = "vulnerable_code_not_in_execute_path"
_NOT_CONTROLLED = "vulnerable_code_cannot_be_controlled_by_adversary"


def openvex(dossier: Dossier, assessments: Iterable[Assessment], *, version: str, moment: datetime) -> str:
    """One document with a statement for each advisory and status, as ASCII text.

    Args:
        dossier: the model that was assessed.
        assessments: at least one.
        version: of weighbridge.
        moment: when that was known to be so; timezone-aware.
    """
    files = {file.path: file for file in dossier.artifacts}
    body = {
        "author": AUTHOR,
        "timestamp": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": 1,
        "tooling": f"weighbridge {version}",
        "statements": [made for item in assessments for made in _statements(item, dossier.subject, files)],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({"@context": CONTEXT, "@id": _ID + digest, **body}, indent=2) + "\n"


def _statements(item: Assessment, subject: str, files: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    loader = _loader(item)
    if not item.files:
        return [_statement(item, item.status, [_product("model", subject, loader)])]
    worst: dict[str, Status] = {}
    for path, status in item.files:
        outer = outer_artifact(path, files)
        if outer is not None:
            worst[outer.path] = min(worst.get(outer.path, status), status, key=_ORDER.index)
    made = []
    for status in _ORDER:
        products = [_product(path, files[path].sha256, loader) for path, found in worst.items() if found is status]
        if products:
            made.append(_statement(item, status, products))
    return made


def _statement(item: Assessment, status: Status, products: list[dict[str, Any]]) -> dict[str, Any]:
    advisory = item.advisory
    made: dict[str, Any] = {
        "vulnerability": {"@id": advisory.source, "name": advisory.cve},
        "products": products,
        "status": status.value,
    }
    match status:
        case Status.AFFECTED:
            fixed = " or ".join(advisory.fixed_in)
            update = f"Update {advisory.loader.name} to {fixed} or later, or do" if fixed else "Do"
            made["status_notes"] = f"The file holds {advisory.needs}."
            made["action_statement"] = f"{update} not load this file with it."
        case Status.UNDER_INVESTIGATION:
            made["status_notes"] = f"Nobody can say whether the file holds {advisory.needs}."
        case Status.NOT_AFFECTED:
            made["justification"], made["status_notes"] = _why_not(item)
        case Status.FIXED:
            made["status_notes"] = f"{item.named} is past the versions that have it."
    return made


def _why_not(item: Assessment) -> tuple[str, str]:
    if item.reach is Reach.BEFORE:
        return _NOT_PRESENT, f"{item.named} is before the versions that have it."
    if not item.files:
        return _NOT_REACHED, "No file of the model is of a format or name that it is about."
    return _NOT_CONTROLLED, f"It takes {item.advisory.needs}, which the bytes of this digest do not hold."


def _product(name: str, sha256: str, loader: dict[str, Any]) -> dict[str, Any]:
    purl = f"pkg:generic/{quote(name.strip('/'), safe='/', errors='backslashreplace')}?checksum=sha256:{sha256}"
    return {"@id": purl, "identifiers": {"purl": purl}, "hashes": {"sha-256": sha256}, "subcomponents": [loader]}


def _loader(item: Assessment) -> dict[str, Any]:
    purl = f"{item.named.loader.purl}@{quote(item.named.version, safe='')}"
    return {"@id": purl, "identifiers": {"purl": purl}}
