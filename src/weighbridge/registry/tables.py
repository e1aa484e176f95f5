"""The tables of the store, portable between SQLite and PostgreSQL.

`log_entry` and `checkpoint` are the log. `decision`, `waiver`, `approval`, `event`, `label`, `evidence_use` and
`manifest_blob` are an index, computed from the log and its evidence. `lease` and `outbox` are work in progress.
Times are fixed-width RFC 3339 text in UTC, digests lower-case hexadecimal, hashes of the tree raw bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()
_DIGEST = String(64)
_TIME = String(27)

APPLIED = Table("applied_migration", METADATA, Column("name", String(80), primary_key=True))

STORE = Table(
    "store",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

LOG_ENTRY = Table(
    "log_entry",
    METADATA,
    Column("log_index", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
)

CHECKPOINT = Table(
    "checkpoint",
    METADATA,
    Column("size", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("root_hash", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
)

DECISION = Table(
    "decision",
    METADATA,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("record", _DIGEST, nullable=False),
    Column("key", _DIGEST, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("decision", _DIGEST, nullable=False, unique=True),
    Column("envelope", _DIGEST, nullable=False),
    Column("subject", _DIGEST, nullable=False),
    Column("dossier", _DIGEST, nullable=False),
    Column("policy", _DIGEST, nullable=False),
    Column("use", _DIGEST, nullable=False),
    Column("verdict", String(40), nullable=False),
    Column("decided_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Column("reference", Text, nullable=False),
    UniqueConstraint("key", "sequence", name="one_decision_a_key_and_sequence"),
    Index("decision_by_subject", "subject"),
    Index("decision_by_reference", "reference"),
)

WAIVER = Table(
    "waiver",
    METADATA,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("record", _DIGEST, nullable=False),
    Column("waiver", _DIGEST, nullable=False, unique=True),
    Column("envelope", _DIGEST, nullable=False),
    Column("rule", Text, nullable=False),
    Column("subject", _DIGEST, nullable=False),
    Column("use", _DIGEST, nullable=False),
    Column("by", Text, nullable=False),
    Column("issued_at", _TIME, nullable=False),
    Column("until", _TIME, nullable=False),
    Index("waiver_by_subject", "subject"),
)

APPROVAL = Table(
    "approval",
    METADATA,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("record", _DIGEST, nullable=False),
    Column("approval", _DIGEST, nullable=False, unique=True),
    Column("envelope", _DIGEST, nullable=False),
    Column("decision", _DIGEST, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", _TIME, nullable=False),
    Index("approval_by_decision", "decision"),
)

EVENT = Table(
    "event",
    METADATA,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("record", _DIGEST, nullable=False),
    Column("kind", String(80), nullable=False),
    Column("digest", _DIGEST, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", _TIME, nullable=False),
    Index("event_by_kind", "kind"),
)

LABEL = Table(
    "label",
    METADATA,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("reference", Text, nullable=False),
    Column("subject", _DIGEST, nullable=False),
    Column("at", _TIME, nullable=False),
    Index("label_by_reference", "reference"),
)

EVIDENCE_USE = Table(
    "evidence_use",
    METADATA,
    Column("log_index", BigInteger, primary_key=True, autoincrement=False),
    Column("role", String(80), primary_key=True),
    Column("digest", _DIGEST, primary_key=True),
    Index("evidence_use_by_digest", "digest"),
)

MANIFEST_BLOB = Table(
    "manifest_blob",
    METADATA,
    Column("subject", _DIGEST, primary_key=True),
    Column("sha256", _DIGEST, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Index("manifest_blob_by_sha256", "sha256"),
)

LEASE = Table(
    "lease",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("since", _TIME, nullable=False),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("payload", Text, nullable=False),
)

INDEX_TABLES = (DECISION, WAIVER, APPROVAL, EVENT, LABEL, EVIDENCE_USE, MANIFEST_BLOB)
"""The tables that are computed from the log and its evidence."""

TRIGGERS = {
    "log_entry_grows_by_one": (
        "CREATE TRIGGER log_entry_grows_by_one BEFORE INSERT ON log_entry "
        "WHEN NEW.log_index <> (SELECT coalesce(max(log_index) + 1, 0) FROM log_entry) "
        "BEGIN SELECT RAISE(ABORT, 'the log grows by one entry at its end'); END"
    ),
    "checkpoint_grows": (
        "CREATE TRIGGER checkpoint_grows BEFORE INSERT ON checkpoint "
        "WHEN NEW.size <= (SELECT coalesce(max(size), 0) FROM checkpoint) "
        "BEGIN SELECT RAISE(ABORT, 'checkpoints grow'); END"
    ),
    **{
        f"{table}_no_{verb.lower()}": (
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        for table in ("log_entry", "checkpoint")
        for verb in ("UPDATE", "DELETE")
    },
}
"""SQLite triggers that keep the log append-only, by name. The text of each is compared before every append."""
