"""What this installation is: where it keeps things, its clock, key, hubs and jail. There are no globals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from weighbridge.errors import SigningError, UsageError
from weighbridge.inspection.tasks import EQUIP, EXAMINE, LOOK
from weighbridge.jail.confinement import Jail

if TYPE_CHECKING:
    from weighbridge.attestation.keys import SigningKey, VerifyingKey
    from weighbridge.hubs.access.contract import Hub, HubAccess
    from weighbridge.plugins import Units
    from weighbridge.policy.documents import PolicyDocument
    from weighbridge.registry.log import CheckpointSigner
    from weighbridge.registry.store import Registry
    from weighbridge.vocabulary import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, all of it optional.

    `home` holds registry, keys, downloads and model folders (WEIGHBRIDGE_HOME). `key_file` is a signing key kept elsewhere
    (WEIGHBRIDGE_KEY). `policy_file` replaces the default policy (WEIGHBRIDGE_POLICY). `checkpoint_folders` get a copy of every
    signed checkpoint (WEIGHBRIDGE_CHECKPOINTS, separated as in PATH), so that a rewritten log can be told.
    """

    home: Path
    key_file: Path | None = None
    policy_file: Path | None = None
    checkpoint_folders: tuple[Path, ...] = ()

    @classmethod
    def read(cls, environment: Mapping[str, str], *, home: Path | None = None) -> Settings:
        """Settings from the environment; `home` wins over WEIGHBRIDGE_HOME."""
        import platformdirs

        named = environment.get("WEIGHBRIDGE_HOME")
        copies = environment.get("WEIGHBRIDGE_CHECKPOINTS", "")
        try:
            chosen = home or (Path(named) if named else platformdirs.user_data_path("weighbridge"))
            return cls(
                home=chosen.expanduser().absolute(),
                key_file=_path(environment.get("WEIGHBRIDGE_KEY")),
                policy_file=_path(environment.get("WEIGHBRIDGE_POLICY")),
                checkpoint_folders=tuple(Path(part).expanduser().absolute() for part in copies.split(":") if part),
            )
        except RuntimeError as problem:
            raise UsageError("no home folder is known for this user", remedy="set WEIGHBRIDGE_HOME") from problem


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key of this installation. `signs` says that its private half signs here today."""

    key_id: str
    signs: bool
    pem: str


class Installation:
    """An opened installation; a context manager. Parts are opened on first use and closed at the end.

    `writable` installations make a signing key when there is none and may record; others only read. `warnings` collects what
    went wrong without stopping anything, such as a copy of a checkpoint that could not be written.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
        writable: bool = True,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.clock = clock
        self.is_writable = writable
        self.warnings: tuple[str, ...] = ()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The registry hears of a failure: then the next run clears up after this one.
        self._stack.__exit__(kind, error, trace)

    def now(self) -> datetime:
        """The time of this installation, UTC, whole seconds: what decisions carry."""
        return self.clock().replace(microsecond=0)

    @property
    def has_store(self) -> bool:
        """Whether anything was ever recorded here; a store is made by the first admission."""
        from weighbridge.registry.founding import is_store

        return is_store(self.registry_root)

    @property
    def keys_folder(self) -> Path:
        """Where the signing key and the public keys trusted here lie."""
        return self.settings.home / "keys"

    @property
    def registry_root(self) -> Path:
        """Where evidence, blobs, log and index lie."""
        return self.settings.home / "registry"

    @cached_property
    def registry(self) -> Registry:
        """The store, opened once; for writing in a writable installation.

        Raises:
            RegistryError: it cannot be opened, or is damaged.
        """
        from weighbridge.attestation.keys import keep_public_half
        from weighbridge.registry.founding import establish
        from weighbridge.registry.store import Registry

        signer: CheckpointSigner | None = None
        if self.is_writable:
            signer = partial(_sign, establish(self.registry_root).origin, self.signing_key)
        opened = Registry.open(
            self.registry_root,
            clock=self.clock,
            sign_checkpoint=signer,
            checkpoint_copies=self.settings.checkpoint_folders,
        )
        self.warnings += opened.warnings
        self._stack.enter_context(opened)
        if self.is_writable:
            keep_public_half(self._signers_folder, self.signing_key.public_key, staging=opened.staging)
        return opened

    @cached_property
    def signing_key(self) -> SigningKey:
        """The key that signs here: the external one where set, else the one in the data folder, made on first use.

        Raises:
            SigningError: it is missing, unreadable or open to others, or the log here was signed by a key nobody trusts.
        """
        from weighbridge.attestation.keys import SigningKey

        if self.has_store:
            self._require_known_signer()
        if self.settings.key_file:
            return SigningKey.load(self.settings.key_file)
        return SigningKey.load_or_create(self.keys_folder)

    @property
    def _signers_folder(self) -> Path:
        """Public halves of the keys that signed this store; kept for people to look up, nothing is trusted for being there."""
        return self.registry_root / "signers"

    def _require_known_signer(self) -> None:
        """Check that a trusted key signed the end of the log: a new key beside it would leave two halves of a store."""
        from weighbridge.attestation.checkpoint import read_checkpoint
        from weighbridge.registry.store import Registry

        with Registry.open(self.registry_root, clock=self.clock) as opened:
            note = opened.read_checkpoint().note
        try:
            if note:
                read_checkpoint(note, self.verifying_keys())
        except SigningError as problem:
            raise SigningError(
                "the key that signed the log of this store is neither the one in use nor trusted here",
                subject=str(self.registry_root),
                remedy=f"put the key back from a backup into {self.keys_folder}; where it is lost, put its public half into "
                f"{self.keys_folder / 'trusted'}, then another key signs from here on. {self._signers_folder} keeps public halves: "
                "trust one only after comparing it with what `weighbridge keys` printed or a copy of a checkpoint elsewhere",
            ) from problem

    def verifying_keys(self) -> tuple[VerifyingKey, ...]:
        """Public keys whose signatures count here: the one that signs, those it replaced, and those put under trusted/."""
        from weighbridge.attestation.keys import KEY_FILE, SigningKey, trusted_keys

        path = self.settings.key_file or self.keys_folder / KEY_FILE
        signing = (SigningKey.load(path).public_key,) if path.exists() else ()
        return (*signing, *(key for key in trusted_keys(self.keys_folder) if key not in signing))

    def public_keys(self) -> tuple[PublicKey, ...]:
        """The verifying keys for people, the one that signs first."""
        from weighbridge.attestation.keys import KEY_FILE

        path = self.settings.key_file or self.keys_folder / KEY_FILE
        keys = self.verifying_keys()
        return tuple(
            PublicKey(key_id=key.key_id, signs=number == 0 and path.exists(), pem=key.pem.decode())
            for number, key in enumerate(keys)
        )

    @cached_property
    def jail(self) -> Jail:
        """Where hostile bytes are read."""
        return self._stack.enter_context(Jail())

    def warm_jail(self) -> None:
        """Start the child that will examine, so that it gets ready while the model is found, fetched and hashed."""
        self.jail.warm(EQUIP, EXAMINE, LOOK)

    @cached_property
    def hubs(self) -> Units[Hub]:
        """Where models come from."""
        from weighbridge.hubs.access.contract import Hub
        from weighbridge.plugins import find_units

        return find_units("hubs", Hub)

    def hub(self, name: str) -> Hub:
        """The hub of this name.

        Raises:
            UsageError: there is none, or it failed to load.
        """
        if name not in self.hubs.found:
            broken = "; ".join(f"{unit.name} failed to load: {unit.reason}" for unit in self.hubs.broken)
            raise UsageError(f"there is no hub {name!r}", subject=name, remedy=broken)
        return self.hubs.found[name]

    def hub_access(
        self, on_bytes: Callable[[str, int, int], None] | None = None, *, download_folder: Path | None = None
    ) -> HubAccess:
        """What a hub may use of the world, with the environment of this installation."""
        from weighbridge.hubs.access.contract import HubAccess

        access = HubAccess(
            environment=self.environment, download_folder=download_folder or self.settings.home / "downloads"
        )
        return replace(access, on_bytes=on_bytes) if on_bytes else access

    def policy_document(self, file: Path | None = None) -> PolicyDocument:
        """The policy in `file`, else the configured one, else the default that ships.

        Raises:
            PolicyError: it is not a policy.
            UsageError: the file cannot be read.
        """
        from weighbridge.policy.documents import load_policy, shipped_policies

        chosen = file or self.settings.policy_file
        if chosen is None:
            return shipped_policies()[-1]
        try:
            data = chosen.read_bytes()
        except OSError as problem:
            raise UsageError(f"the policy cannot be read: {problem.strerror}", subject=str(chosen)) from problem
        return load_policy(data, subject=str(chosen))

    def policy(self, file: Path | None = None) -> Policy:
        """The rules of `policy_document`."""
        return self.policy_document(file).policy

    def known_checks(self) -> tuple[str, ...]:
        """Every check id that a dossier of this installation can hold."""
        from weighbridge.formats.reading.contract import Format
        from weighbridge.inspection.judgements import CHECKS
        from weighbridge.plugins import find_units

        units = find_units("formats", Format).found.values()
        return (*CHECKS, *(check for unit in units for check in unit.checks))


def _sign(origin: str, key: SigningKey, size: int, root: bytes) -> str:
    from weighbridge.attestation.checkpoint import sign_checkpoint

    return sign_checkpoint(origin, size, root, key)
