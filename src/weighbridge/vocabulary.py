"""The words of weighbridge: what passes between rooms, and what is kept as evidence.

Every word is a frozen, slotted, keyword-only dataclass over plain values, so that it can be compared, hashed, written as
JSON and read back equal. Only the standard library is imported here.

Digests are lower-case hexadecimal sha256 without a prefix. Times are timezone-aware UTC. Sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

EXCERPT_LIMIT = 200
"""Longest text, in characters, that a hostile input may put into a message or an excerpt."""


class Outcome(Enum):
    """The answer of one check. UNKNOWN and ERROR never count as PASS."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"
    ERROR = "error"


class Severity(Enum):
    """How bad a failed check is. The names are those of CycloneDX 1.7 vulnerability ratings."""

    NONE = "none"
    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """Order for comparison: none 0 … critical 5. UNKNOWN ranks with critical, because unknown is never fine."""
        return min(list(Severity).index(self), 5)


class Verdict(Enum):
    """What a policy says about a model for one use. REFER: a person must look."""

    ADMIT = "admit"
    ADMIT_WITH_CONDITIONS = "admit_with_conditions"
    REFER = "refer"
    REFUSE = "refuse"

    @property
    def rank(self) -> int:
        """Order for comparison: a higher rank is stricter."""
        return list(Verdict).index(self)


class Answer(Enum):
    """A three-valued answer; UNKNOWN where nobody said."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class SpanKind(Enum):
    """What a stretch of a file is. TENSOR is opaque numbers; UNREAD was not examined; UNEXPLAINED belongs to nothing."""

    HEADER = "header"
    TENSOR = "tensor"
    PADDING = "padding"
    UNEXPLAINED = "unexplained"
    UNREAD = "unread"


class Effect(Enum):
    """What a rule asks for when it fires."""

    REFUSE = "refuse"
    REFER = "refer"
    CONDITION = "condition"


class Standing(Enum):
    """How a rule came out. UNDETERMINED: evidence it asks for is missing, so nobody can say."""

    CLEAR = "clear"
    FIRED = "fired"
    WAIVED = "waived"
    APPROVED = "approved"
    UNDETERMINED = "undetermined"


class Relation(Enum):
    """How a child model came from its parent, in the hub's own words."""

    FINETUNE = "finetune"
    QUANTIZED = "quantized"
    ADAPTER = "adapter"
    MERGE = "merge"
    DISTILLED = "distilled"
    CONVERTED = "converted"


class Tier(Enum):
    """The evidence behind a lineage edge; never averaged."""

    EXACT = "exact"
    STATISTICAL = "statistical"
    DECLARED = "declared"


def clip(text: str | bytes, limit: int = EXCERPT_LIMIT) -> str:
    """Make hostile text safe to keep: valid Unicode, at most `limit` characters, control and bidi characters escaped."""
    whole = text[: 4 * (limit + 1)].decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text
    raw = whole[: limit + 1]
    if not raw.isprintable():
        raw = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in raw)
    return raw if len(raw) <= limit else raw[: limit - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """What a person asked for: `hub:name@revision`. A claim; `revision` is empty until it is pinned by the hub."""

    hub: str
    name: str
    revision: str = ""

    def __str__(self) -> str:
        """The spelling that the command line accepts."""
        return f"{self.hub}:{self.name}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One file of a model. `path` is relative, with forward slashes, in NFC."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Every file of a model, sorted by the UTF-8 bytes of its path. `registry.wire.root_digest` makes it the subject."""

    entries: tuple[ManifestEntry, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.entries, key=lambda entry: entry.path.encode()))
        object.__setattr__(self, "entries", ordered)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteAccount:
    """Where the bytes of a file went. The five numbers add up to the size of the file."""

    header_bytes: int = 0
    tensor_bytes: int = 0
    padding_bytes: int = 0
    unexplained_bytes: int = 0
    unread_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One examined file. `format` is the name of the format unit that read it."""

    path: str
    size_bytes: int
    sha256: str
    format: str
    account: ByteAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor as a header declares it. `shape` in elements; `size_bytes` as stored; `dtype` in the format's own word."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A named value read from a file: metadata of a header, or a digest of something inside it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says about the model, all of it a claim of that file.

    `metadata` holds bounded key-value pairs. `digests` holds sha256 of named inner parts: `tokenizer`, `chat_template`,
    `chat_template.<name>`, `config`. `parameter_count` counts elements of tensors stored in this file. `weights_bytes` is
    what the tensors need in memory as stored; `cache_bytes_per_token` is the 16-bit key-value cache of one token, None
    where the file does not say enough.
    """

    path: str
    format: str
    architecture: str = ""
    parameter_count: int = 0
    dtypes: tuple[str, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    metadata: tuple[Fact, ...] = ()
    digests: tuple[Fact, ...] = ()
    weights_bytes: int = 0
    cache_bytes_per_token: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where to look again. `artifact` is a path in the manifest (members of archives as `file.pt!data.pkl`).

    `locator` is `byte 61`, `byte 61 REDUCE`, a JSON pointer, `tensor NAME` or `line 3`; `excerpt` is clipped text.
    """

    artifact: str
    locator: str = ""
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer of one check. `check` is a dotted, stable id; `message` one sentence without the path."""

    check: str
    outcome: Outcome
    severity: Severity
    message: str
    evidence: tuple[Evidence, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number with its sample size and interval (lower, upper)."""

    metric: str
    value: float
    unit: str
    n: int
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageEdge:
    """One parent of a model: digests or names, the relation, and how it is known."""

    child: str
    parent: str
    relation: Relation
    tier: Tier
    p_value: float | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceTerms:
    """What a licence text was recognised as; the effective licence is computed from it, never stored."""

    spdx_expression: str
    source_sha256: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Bytes that nobody examined, and why."""

    path: str
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What produced evidence: a reader, a check or an isolation back end, with its version. Not part of any digest."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """Everything known about one model, no opinion. Equal content is equal whatever order it was found in.

    `licence` is empty until the licence room exists; `tools` stands outside the digest (`registry.wire.dossier_digest`).
    """

    subject: str
    artifacts: tuple[Artifact, ...]
    headers: tuple[Header, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    licence: tuple[LicenceTerms, ...] = ()
    lineage: tuple[LineageEdge, ...] = ()
    unread: tuple[Unread, ...] = ()
    tools: tuple[Tool, ...] = ()

    def __post_init__(self) -> None:
        for name in ("artifacts", "headers", "findings", "measurements", "licence", "lineage", "unread", "tools"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=repr)))


@dataclass(frozen=True, slots=True, kw_only=True)
class UseContext:
    """What the model is wanted for, as far as anybody said. Empty text and UNKNOWN mean: not said.

    `users` is how many people will use it, `revenue_eur` the yearly revenue of the organisation; None where not said.
    """

    purpose: str = ""
    owner: str = ""
    department: str = ""
    zone: str = ""
    jurisdiction: str = ""
    data_class: str = ""
    audience: str = ""
    territories: tuple[str, ...] = ()
    users: int | None = None
    revenue_eur: int | None = None
    is_modified: Answer = Answer.UNKNOWN
    trains_other_models: Answer = Answer.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a policy.

    `when` is a CEL expression that is true where the rule fires. `needs` are patterns of check ids (`pickle.*`): where a
    finding they match is UNKNOWN or ERROR, or none is there, the rule cannot be clear. `message` and `remedy` are plain words.
    """

    id: str
    title: str
    severity: Severity
    effect: Effect
    when: str
    message: str
    remedy: str
    needs: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules as data. `valid_days` is how long a decision made under it stands."""

    name: str
    version: int
    rules: tuple[Rule, ...]
    valid_days: int = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a waiver covers: one model, for one use; an empty `use` covers every use of that model."""

    subject: str
    use: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A signed, expiring exception to one rule. `control` is what is done instead; it becomes a condition."""

    rule: str
    scope: Scope
    reason: str
    control: str
    by: str
    issued_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's signed yes to one decision, named by the digest they were shown."""

    decision: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One rule's part in a verdict, with the findings it rests on and the shortest way to yes."""

    rule: str
    standing: Standing
    effect: Effect
    message: str
    remedy: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict of one policy on one model for one use. Names digests, not objects.

    `dossier`, `policy`, `use`, `facts` and each of `waivers` and `approvals` are digests of evidence; `engine` names the
    version of the decision semantics, so that a later release can repeat it.
    """

    subject: str
    dossier: str
    policy: str
    use: str
    waivers: tuple[str, ...]
    approvals: tuple[str, ...]
    facts: str
    engine: str
    verdict: Verdict
    reasons: tuple[Reason, ...]
    conditions: tuple[str, ...]
    decided_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A header-only look: no subject, never recorded or decided on."""

    reference: str
    artifacts: tuple[Artifact, ...]
    headers: tuple[Header, ...]
    findings: tuple[Finding, ...]
    unread: tuple[Unread, ...]
