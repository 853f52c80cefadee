"""Serve the live page of one run on loopback, with the standard library's server.

Nothing is written, and nothing is loaded from elsewhere. Only a browser on this machine, or at the other end of
`ssh -L`, gets an answer: a page of another site that names this address gets none (the host is checked).
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from contracts.errors import BadInput
from driver.report.run_record import read_run
from driver.report.write import SAMPLED_AT_EACH_END, report_html
from driver.watch.state import WatchedRun

LOOPBACK = "127.0.0.1"
_HOSTS = ("localhost", LOOPBACK, "[::1]")
_PAGE = Path(__file__).parent / "page"
_STYLE = Path(__file__).parents[1] / "report" / "templates" / "style.css"
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the browser may load for a page: its own files, or (the report) only what is in the page itself."""

Answer = tuple[str, bytes, str]
"""Content type, content, content security policy."""


class PageServer(ThreadingHTTPServer):
    """Answer for one run folder."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, run: WatchedRun, *, port: int) -> None:
        """Listen on loopback; port 0 is any free one.

        Raises:
            BadInput: the port is in use, or may not be used; `key` is "--port".
        """
        self.pages: dict[str, Callable[[], Answer]] = {
            "/": lambda: _file(_PAGE / "index.html", "text/html"),
            "/watch.js": lambda: _file(_PAGE / "watch.js", "text/javascript"),
            "/charts.js": lambda: _file(_PAGE / "charts.js", "text/javascript"),
            "/watch.css": lambda: _file(_PAGE / "watch.css", "text/css"),
            "/style.css": lambda: _file(_STYLE, "text/css"),
            "/state.json": lambda: _json(run.state()),
            "/responses.json": lambda: _json(run.responses()),
            "/report": lambda: _report(folder),
        }
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as failure:
            raise BadInput(
                f"port {port} of {LOOPBACK} can't be used ({failure}); choose another --port, or 0 for any free one",
                key="--port",
            ) from failure

    @property
    def address(self) -> str:
        """Return the address of the page."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    """Answer one request."""

    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride] - the only server that uses it
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rsplit(":", 1)
        name = host[0] if len(host) == 2 and host[1].isdigit() else ":".join(host)
        if name not in _HOSTS:
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine only")
            return
        answer = self.server.pages.get(self.path.partition("?")[0])
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, content, policy = answer()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the page asks every few seconds."""


def _file(path: Path, kind: str) -> Answer:
    return kind, path.read_bytes(), _POLICY


def _json(found: object) -> Answer:
    return "application/json", json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"), _POLICY


def _report(folder: Path) -> Answer:
    page = report_html(read_run(folder, sampled_at_each_end=SAMPLED_AT_EACH_END))
    return "text/html", page.encode("utf-8", "replace"), _REPORT_POLICY
