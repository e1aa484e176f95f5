"""Dossiers, policies and exceptions to judge: small builders, and hypothesis strategies over them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from weighbridge.policy.judgement import Judgement, judge
from weighbridge.vocabulary import (
    Answer,
    Approval,
    Artifact,
    ByteAccount,
    Dossier,
    Effect,
    Evidence,
    Finding,
    Header,
    Outcome,
    Policy,
    Rule,
    Scope,
    Severity,
    Unread,
    UseContext,
    Waiver,
)

SUBJECT = "a" * 64
ANY_USE = UseContext()
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CHECKS = (
    "code.on-load",
    "bytes.accounted",
    "format.recognised",
    "format.ambiguous",
    "inspection.examined",
    "plugin.formats",
    "pickle.calls-unsafe-global",
    "pickle.unlisted-global",
    "pickle.unlisted-call",
    "pickle.structure",
    "torch_zip.archive",
    "torch_zip.torchscript",
    "safetensors.structure",
    "gguf.metadata",
    "text.remote-code",
    "text.lfs-pointer",
    "unknown.format",
    "never.heard-of",
)
REQUIRED = ("code.on-load", "bytes.accounted", "format.recognised")


def finding(check: str, outcome: Outcome = Outcome.PASS, severity: Severity = Severity.NONE, path: str = "") -> Finding:
    evidence = (Evidence(artifact=path),) if path else ()
    return Finding(check=check, outcome=outcome, severity=severity, message=f"{check} says so", evidence=evidence)


def failure(check: str, severity: Severity = Severity.CRITICAL, path: str = "") -> Finding:
    return finding(check, Outcome.FAIL, severity, path)


def artifact(path: str = "model.safetensors", size: int = 1000, unexplained: int = 0, unread: int = 0) -> Artifact:
    account = ByteAccount(tensor_bytes=size - unexplained - unread, unexplained_bytes=unexplained, unread_bytes=unread)
    return Artifact(path=path, size_bytes=size, sha256="b" * 64, format="safetensors", account=account)


def answered(*files: Artifact) -> Dossier:
    """These files, with what inspection says of each and of all of them."""
    said = [finding(check, path=file.path) for file in files for check in REQUIRED]
    return Dossier(subject=SUBJECT, artifacts=files, findings=(*said, finding("inspection.examined")))


CLEAN = answered(artifact())


def judged(dossier: Dossier, policy: Policy, use: UseContext = ANY_USE, **changed) -> Judgement:
    given = {"waivers": {}, "approvals": {}, "facts": {}, "now": NOW, **changed}
    return judge(dossier, policy, use, **given)


def waiver(name: str, **changed) -> Waiver:
    given = {
        "rule": name,
        "scope": Scope(subject=SUBJECT),
        "reason": "needed for the pilot",
        "control": "runs in a sandbox without network",
        "by": "ada",
        "issued_at": NOW - timedelta(days=1),
        "until": NOW + timedelta(days=30),
        **changed,
    }
    return Waiver(**given)


APPROVAL = Approval(decision="c" * 64, by="grace", reason="looked at it", at=NOW - timedelta(hours=1))


def rule(name: str, when: str, effect: Effect = Effect.REFUSE, needs: tuple[str, ...] = ()) -> Rule:
    return Rule(
        id=name,
        title=f"title of {name}",
        severity=Severity.HIGH,
        effect=effect,
        when=when,
        message=f"message of {name}",
        remedy=f"remedy of {name}",
        needs=needs,
    )


def policy_of(*rules: Rule) -> Policy:
    return Policy(name="generated", version=1, rules=rules)


failures = st.builds(failure, st.sampled_from(CHECKS), st.sampled_from(Severity), st.sampled_from(["", "a.bin"]))
findings = st.one_of(
    st.builds(finding, st.sampled_from(CHECKS), st.sampled_from(Outcome), st.sampled_from(Severity)),
    st.builds(finding, st.sampled_from(REQUIRED)),
    failures,
)
artifacts = st.builds(
    artifact,
    st.sampled_from(["a.bin", "b.safetensors", "logo.png"]),
    size=st.just(1000),
    unexplained=st.sampled_from([0, 0, 0, 7]),
    unread=st.sampled_from([0, 0, 0, 5]),
)
headers = st.builds(
    Header,
    path=st.just("b.safetensors"),
    format=st.just("safetensors"),
    architecture=st.sampled_from(["", "llama"]),
    parameter_count=st.sampled_from([0, 7, 2**70]),
)


@st.composite
def dossiers(draw, *, is_whole: bool = False) -> Dossier:
    """Any dossier, or, with `is_whole`, any in which every file has the answers of inspection."""
    files = draw(st.lists(artifacts, max_size=2, unique_by=lambda file: file.path)) or CLEAN.artifacts
    base = answered(*files).findings if is_whole or draw(st.booleans()) else ()
    return Dossier(
        subject=SUBJECT,
        artifacts=tuple(files if draw(st.booleans()) else CLEAN.artifacts) if not is_whole else tuple(files),
        headers=tuple(draw(st.lists(headers, max_size=1))),
        findings=(*base, *draw(st.lists(findings, max_size=5))),
        unread=draw(st.sampled_from([(), (), (Unread(path="x.png", size_bytes=3, reason="no reader"),)])),
    )


uses = st.builds(
    UseContext,
    purpose=st.sampled_from(["", "chat"]),
    users=st.sampled_from([None, 3, 5000]),
    is_modified=st.sampled_from(Answer),
)
facts = st.dictionaries(st.sampled_from(["limit", "region"]), st.sampled_from([1, 5, "eu"]), max_size=2)

_seen = st.one_of(
    st.builds('f.check == "{}"'.format, st.sampled_from(CHECKS)),
    st.builds('f.check.startsWith("{}.")'.format, st.sampled_from(["pickle", "text", "format"])),
    st.builds("f.severity_rank >= {}".format, st.integers(0, 5)),
)
_outcomes = st.sampled_from(['f.outcome == "fail"', 'f.outcome in ["fail", "unknown"]', 'f.outcome == "error"'])
positive = st.builds("findings.exists(f, {} && {})".format, _outcomes, _seen)
negated = st.one_of(
    st.builds("!{}".format, positive),
    st.builds('findings.all(f, f.outcome == "pass" || {})'.format, _seen),
    st.builds("size(findings) < {}".format, st.integers(1, 6)),
)
said = st.sampled_from(
    ["model.files > 1", "use.users > 100", "use.is_modified", 'facts.region == "eu"', "headers.size() > 0"]
)
known = st.sampled_from(["model.files > 1", "artifacts.size() > 0", "1 == 2"])


def _joined(part, other):
    return st.one_of(
        part, st.builds("({} || {})".format, part, other), st.builds("({} && {})".format, part, other), other
    )


_patterns = st.lists(st.sampled_from([*REQUIRED, "pickle.*", "*"]), max_size=2, unique=True).map(tuple)


@st.composite
def policies(draw, *, is_monotone: bool = False) -> Policy:
    rules = []
    for number in range(draw(st.integers(1, 4))):
        effect = draw(st.sampled_from(Effect))
        plain = known if is_monotone and effect is Effect.CONDITION else said
        part = positive if is_monotone else st.one_of(positive, negated)
        when = draw(st.one_of(_joined(part, plain), _joined(part, part)))
        rules.append(rule(f"rule-{number}", when, effect, draw(_patterns)))
    return policy_of(*rules)


@st.composite
def waivers(draw) -> dict[str, Waiver]:
    names = st.sampled_from(["rule-0", "rule-1", "no-code-in-weights", "law.bytes-unread", "law.check-broke"])
    drawn = draw(st.lists(st.builds(waiver, names), max_size=3))
    return {f"{number:064x}": entry for number, entry in enumerate(drawn)}


approvals = st.sampled_from([{}, {"d" * 64: APPROVAL}])
