"""HTTP servers for tests, on a free port of the loopback interface, that remember what they were asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@contextmanager
def serving(answers: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve in a thread until the body ends; gives the address, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Answers(BaseHTTPRequestHandler):
    """A request handler that says nothing on stderr."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *_args: object) -> None:  # noqa: A002  # the name is inherited
        """Stay silent."""

    def asked(self) -> Asked:
        """This request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Asked(method=self.command, path=self.path, headers=headers)

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        """Send a whole answer; only its headers to a HEAD request."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class LoopbackProxy:
    """A forward proxy for plain HTTP. CONNECT is noted and refused: there is nothing beyond loopback to be reached."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[LoopbackProxy]:
        """Serve until the body ends."""
        proxy = self

        class Forwards(Answers):
            def do_CONNECT(self) -> None:  # the name is http.server's
                proxy.asked.append(self.asked())
                self.reply(502, {"Connection": "close"})

            def do_GET(self) -> None:
                asked = self.asked()
                proxy.asked.append(asked)
                target = urlsplit(asked.path)
                connection = HTTPConnection(target.hostname or "", target.port or 80, timeout=10)
                try:
                    connection.request("GET", target._replace(scheme="", netloc="").geturl(), headers=asked.headers)
                    answer = connection.getresponse()
                    body = answer.read()
                    headers = {
                        n: v for n, v in answer.getheaders() if n.lower() not in {"content-length", "connection"}
                    }
                    self.reply(answer.status, headers, body)
                finally:
                    connection.close()

        with serving(Forwards) as self.url:
            yield self
