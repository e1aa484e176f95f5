"""The HTTP client of huggingface_hub, set up from a given environment and from nothing else.

huggingface_hub reads endpoint, proxies and tokens from the process when it is imported, and shares one client. A client of
our own from the same library keeps the promise that a hub sees only the `HubAccess` it was given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from weighbridge.errors import HubError
from weighbridge.vocabulary import clip

if TYPE_CHECKING:
    import ssl

TIMEOUT_S = 30.0
"""Longest silence of a server: to connect, or between two pieces of a reply."""

_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def open_client(environment: Mapping[str, str]) -> Any:
    """A client that follows redirects (the library drops the token where they leave the host); the caller closes it.

    A redirect to what is no address raises HubError: asked again, the server would say the same.

    Raises:
        HubError: a proxy or certificate setting cannot be used.
    """
    library = http_library()
    try:
        mounts = {
            pattern: library.HTTPTransport(proxy=proxy, verify=_trust(environment)) if proxy else None
            for pattern, proxy in proxies(environment).items()
        }
        return library.Client(
            mounts=mounts,
            verify=_trust(environment),
            trust_env=False,
            follow_redirects=True,
            timeout=TIMEOUT_S,
            headers={"user-agent": "weighbridge", "accept-encoding": "identity"},
            event_hooks={"response": [_refuse_unusable_redirect]},
        )
    except (library.InvalidURL, ValueError, ImportError, OSError) as problem:
        raise HubError(
            f"the proxy or certificate settings cannot be used: {clip(str(problem))}",
            remedy="check HTTPS_PROXY, HTTP_PROXY, NO_PROXY and SSL_CERT_FILE",
        ) from problem


def http_library() -> Any:
    """The HTTP library that the installed huggingface_hub is built on: httpx, or httpx2 from 2.0 on."""
    from huggingface_hub import errors

    return import_module(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])


def proxies(environment: Mapping[str, str]) -> dict[str, str | None]:
    """URL patterns of the client, each with its proxy, or None where NO_PROXY asks for none.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, the lower-case name first, as curl reads them.
    """
    found: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        name = f"{scheme}_proxy"
        if proxy := environment.get(name) or environment.get(name.upper()):
            found[f"{scheme}://"] = proxy if "://" in proxy else f"http://{proxy}"
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    for entry in filter(None, (part.strip() for part in exceptions.split(","))):
        if entry == "*":
            return {}
        found[_exception(entry)] = None
    return found


def is_address(url: Any) -> bool:
    """Whether a URL, as text or as the library's own, can be asked: http or https, a host, and a port that exists."""
    library = http_library()
    try:
        read = library.URL(url)
        return bool(read.scheme in {"http", "https"} and read.host and (read.port or 0) < 1 << 16)
    except (library.InvalidURL, ValueError):
        return False


def is_loopback(url: str) -> bool:
    """Whether an address means this machine, so that nobody on the way can listen; read as the client will read it."""
    host: str = http_library().URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_unusable_redirect(reply: Any) -> None:
    if not reply.has_redirect_location:
        return
    target = reply.headers["location"]
    try:
        can_be_asked = is_address(reply.url.join(target))
    except (http_library().InvalidURL, ValueError):
        can_be_asked = False
    if not can_be_asked:
        raise HubError(
            f"{clip(str(reply.url))} redirects to {clip(target)!r}, which is no address that can be asked",
            subject=clip(target),
            remedy="check HF_ENDPOINT and the proxy: something else may have answered",
        )


def _exception(entry: str) -> str:
    """One entry of NO_PROXY as a pattern of the client: a host stands for itself and everything below it."""
    if "://" in entry:
        return entry
    try:
        address = ipaddress.ip_address(entry.strip("[]"))
    except ValueError:
        return f"all://{entry}" if entry == "localhost" or ":" in entry else f"all://*{entry.removeprefix('*')}"
    return f"all://[{address}]" if address.version == 6 else f"all://{address}"


def _trust(environment: Mapping[str, str]) -> ssl.SSLContext | bool:
    import ssl

    bundle = next((environment[name] for name in _BUNDLES if environment.get(name)), None)
    return ssl.create_default_context(cafile=bundle) if bundle else True
