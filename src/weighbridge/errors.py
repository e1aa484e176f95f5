"""Every error that weighbridge raises on purpose.

    WeighbridgeError                what, where, what to do
    ├── UsageError                  the call is wrong: an option, a reference, a policy file        exit 2
    ├── HubError                    the model could not be had from where it was asked
    │   ├── ModelNotFoundError      no such model or revision there
    │   └── AccessDeniedError       gated, private, or the token is missing
    ├── HostileInputError           the input would not be taken in: a name, a link, a changing file
    ├── MalformedArtifactError      a reader met bytes that are not what the format says
    ├── JailError                   confinement could not be set up
    ├── RegistryError               the store cannot be read or written
    │   ├── LogUnavailableError     the log cannot be written, so there is no decision
    │   └── TamperedError           evidence, index and log do not agree
    ├── SigningError                a key is missing, unreadable or does not fit
    └── PolicyError                 a policy cannot be compiled

Each carries its subject: the path, reference, rule or digest that it is about.
"""


class WeighbridgeError(Exception):
    """Base of the tree. `subject` is what it is about; `remedy` is what the reader can do, or empty."""

    def __init__(self, message: str, *, subject: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.remedy = remedy


class UsageError(WeighbridgeError):
    """The call is wrong; the message says which part."""


class HubError(WeighbridgeError):
    """The model could not be had from where it was asked."""


class ModelNotFoundError(HubError):
    """The hub has no such model or revision."""


class AccessDeniedError(HubError):
    """The hub has it and will not give it: gated, private, or no token."""


class HostileInputError(WeighbridgeError):
    """The input is refused by name before anything reads it."""


class MalformedArtifactError(WeighbridgeError):
    """Bytes are not what their format says. `locator` is where, as in `Evidence.locator`."""

    def __init__(self, message: str, *, locator: str = "", subject: str = "", remedy: str = "") -> None:
        super().__init__(message, subject=subject, remedy=remedy)
        self.locator = locator


class JailError(WeighbridgeError):
    """Confinement could not be set up; nothing was read."""


class RegistryError(WeighbridgeError):
    """The store cannot be read or written."""


class LogUnavailableError(RegistryError):
    """The log cannot be written, so no decision was made."""


class TamperedError(RegistryError):
    """Evidence, index and log do not agree."""


class SigningError(WeighbridgeError):
    """A key is missing, unreadable, too open or does not fit the signature."""


class OutputLostError(WeighbridgeError):
    """Standard output cannot be written to."""


class PolicyError(WeighbridgeError):
    """A policy or one of its rules cannot be used; `subject` is the rule."""
