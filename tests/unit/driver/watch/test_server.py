"""Check what the live page's server answers, and to whom."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.errors import BadInput
from driver.tracking.run_folder import RunFolder
from driver.watch.server import LOOPBACK, PageServer
from driver.watch.state import WatchedRun
from tests.runs.report_folders import a_training_run


@contextmanager
def serving(folder: Path) -> Iterator[PageServer]:
    with PageServer(folder, WatchedRun(RunFolder(folder)), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def get(server: PageServer, path: str, *, host: str | None = None) -> tuple[int, str, str, str]:
    """Return status, content type, content and content security policy."""
    connection = http.client.HTTPConnection(LOOPBACK, server.server_address[1], timeout=60)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        content = answer.read().decode("utf-8")
        policy = answer.headers.get("Content-Security-Policy", "")
        return answer.status, answer.headers.get_content_type(), content, policy
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with serving(a_training_run(tmp_path_factory.mktemp("runs") / "run")) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "kind", "has"),
    [
        ("/", "text/html", "/watch.js"),
        ("/watch.js", "text/javascript", "refresh()"),
        ("/charts.js", "text/javascript", "function chart"),
        ("/watch.css", "text/css", ".bar"),
        ("/style.css", "text/css", "--paper"),
    ],
)
def test_the_page_and_its_files_may_load_nothing_from_elsewhere(
    server: PageServer, path: str, kind: str, has: str
) -> None:
    status, content_type, content, policy = get(server, path)
    assert (status, content_type) == (200, kind)
    assert has in content
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_the_state_and_the_responses_are_json(server: PageServer) -> None:
    assert json.loads(get(server, "/state.json?again=1")[2])["step"] == 6
    assert json.loads(get(server, "/responses.json")[2])["step"] == 6


def test_the_report_is_that_of_the_run_as_it_is_now(server: PageServer) -> None:
    status, kind, content, policy = get(server, "/report")
    assert (status, kind) == (200, "text/html")
    assert content.startswith("<!doctype html>") and "Training: 6" in content
    assert "script-src" not in policy


@pytest.mark.parametrize("path", ["/config.toml", "/../config.toml", "/%2e%2e/config.toml", "//etc/passwd"])
def test_no_other_file_is_given_out(server: PageServer, path: str) -> None:
    assert get(server, path)[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9", 200), ("127.0.0.1", 200), ("[::1]:8008", 200), ("evil.example:8008", 403), ("10.0.0.1", 403)],
)
def test_only_this_machine_or_a_tunnel_to_it_gets_an_answer(server: PageServer, host: str, status: int) -> None:
    assert get(server, "/state.json", host=host)[0] == status


def test_it_listens_on_loopback(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_in_use_is_refused(server: PageServer, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        PageServer(tmp_path, WatchedRun(RunFolder(tmp_path)), port=server.server_address[1])
    assert refused.value.key == "--port"
