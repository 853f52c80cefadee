"""Test uploading a trained policy: what is refused before the start, and what a failure at the end says."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contracts.config.learning import ExportConfig
from contracts.errors import RunFailed
from driver.export.hub import Account, HubFailed, check_hub, upload
from tests.refusals import raised, refused

ROOT = Path(__file__).resolve().parents[4]
ADA = Account(name="ada", organisations=("lab",), role="write")


@dataclass
class FakeHub:
    """Imitate a hub with a few repositories: name -> whether it is private."""

    of: Account = ADA
    repos: dict[str, bool] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    failure: str = ""  # of account() and of send()

    def account(self) -> Account:
        if self.failure:
            raise HubFailed(self.failure)
        return self.of

    def is_private(self, repo: str) -> bool | None:
        return self.repos.get(repo)

    def create(self, repo: str, *, private: bool) -> str:
        self.repos.setdefault(repo, private)
        return f"https://hub.example/{repo}"

    def send(self, folder: Path, repo: str) -> None:
        if self.failure:
            raise HubFailed(self.failure)
        self.sent.append((folder.name, repo))


def export(repo: str, *, private: bool = True) -> ExportConfig:
    return ExportConfig(hub_repo=repo, hub_private=private)


def test_without_a_repository_nothing_is_asked() -> None:
    check_hub(ExportConfig(), FakeHub(failure="asked though nothing is to be uploaded"))


@pytest.mark.parametrize("repo", ["ada/model", "Ada/model-1.5_b", "lab/model"])
def test_own_and_an_organisations_names_are_taken(repo: str) -> None:
    check_hub(export(repo), FakeHub())


@pytest.mark.parametrize(
    "repo", ["model", "ada/my model", "ada/a/b", "https://huggingface.co/ada/model", "ada/a--b", "bob/model"]
)
def test_a_name_that_cannot_be_uploaded_to_is_refused(repo: str) -> None:
    with refused("export.hub_repo", repr(repo)):
        check_hub(export(repo), FakeHub())


def test_an_owner_is_refused_with_those_that_the_token_may_write_to() -> None:
    with refused("export.hub_repo", "bob", "ada, lab"):
        check_hub(export("bob/model"), FakeHub())


def test_a_token_that_only_reads_is_refused() -> None:
    reader = Account(name="ada", organisations=(), role="read")
    with refused("export.hub_repo"):
        check_hub(export("ada/model"), FakeHub(of=reader))


def test_a_fine_grained_token_is_not_judged_by_the_organisations_that_it_lists() -> None:
    check_hub(export("lab/model"), FakeHub(of=Account(name="ada", organisations=(), role="fineGrained")))


def test_a_public_repository_is_refused_where_a_private_one_is_asked_for() -> None:
    hub = FakeHub(repos={"ada/open": False, "ada/closed": True})
    with refused("export.hub_private"):
        check_hub(export("ada/open"), hub)
    check_hub(export("ada/open", private=False), hub)
    check_hub(export("ada/closed"), hub)


def test_the_answer_of_a_hub_that_refuses_is_shown_in_one_line() -> None:
    with refused("export.hub_repo", "there is no token"):
        check_hub(export("ada/model"), FakeHub(failure="there is no token"))


def test_upload_makes_the_repository_as_asked_and_gives_its_address(tmp_path: Path) -> None:
    hub = FakeHub()
    assert upload(tmp_path, export("ada/model", private=False), hub) == "https://hub.example/ada/model"
    assert (hub.repos, hub.sent) == ({"ada/model": False}, [(tmp_path.name, "ada/model")])


def test_a_failed_upload_says_where_the_model_is_and_how_to_send_it(tmp_path: Path) -> None:
    with raised(RunFailed, "no answer within 600 s", f"`hf upload ada/model {tmp_path}`", key="upload"):
        upload(tmp_path, export("ada/model"), FakeHub(failure="no answer within 600 s"))


def test_an_upload_to_nowhere_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        upload(tmp_path, ExportConfig(), FakeHub())


@contextmanager
def served(answers: dict[str, tuple[int, object]], posts: list[tuple[str, str]] | None = None) -> Iterator[str]:
    """Run a local server that answers like the hub: path -> (status, JSON). It never answers for "/silent".

    What is posted goes to `posts`, path and body.
    """
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/silent"):
                is_over.wait()
                return
            self.answer()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            (posts if posts is not None else []).append((self.path, body))
            self.answer()

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            status, answer = answers.get(path, (404, {"error": "Repository not found"}))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing: the server's messages do not belong to a test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


ASK = """
from contracts.errors import BadInput
from driver.export.hub import HuggingFaceHub, check_hub
from contracts.config.learning import ExportConfig
try:
    check_hub(ExportConfig(hub_repo="ada/model"), HuggingFaceHub(check_s={check_s}))
    print("taken")
except BadInput as refused:
    print(f"{{refused.key}}: {{refused}}")
"""


def asked(endpoint: str, home: Path, *, token: str = "hf_of_ada", offline: bool = False, check_s: float = 30) -> str:
    """Return what the real client says of a hub."""
    return run_with_hub(ASK.format(check_s=check_s), endpoint, home, token=token, offline=offline)


def run_with_hub(program: str, endpoint: str, home: Path, *, token: str = "hf_of_ada", offline: bool = False) -> str:
    """Return what a program prints in a process of its own: the client reads the environment at import."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
    environment |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_the_real_client_tells_a_wrong_token_from_a_right_one(tmp_path: Path) -> None:
    right = {"name": "ada", "orgs": [{"name": "lab"}], "auth": {"accessToken": {"role": "write"}}}
    with served({"/api/whoami-v2": (200, right)}) as endpoint:
        assert asked(endpoint, tmp_path) == "taken"
    open_repo: dict[str, object] = {"id": "ada/model", "private": False}
    with served({"/api/whoami-v2": (200, right), "/api/models/ada/model": (200, open_repo)}) as endpoint:
        assert asked(endpoint, tmp_path).startswith("export.hub_private: ")
    with served({"/api/whoami-v2": (401, {"error": "Invalid credentials"})}) as endpoint:
        answer = asked(endpoint, tmp_path)
    assert answer.startswith("export.hub_repo: ")
    assert "whoami at " in answer
    assert "The token from HF_TOKEN environment variable is invalid" in answer
    assert "hf_of_ada" not in answer


@pytest.mark.slow
def test_the_real_client_needs_a_token_a_network_and_an_answer(tmp_path: Path) -> None:
    with served({}) as endpoint:
        assert "(there is no token: set HF_TOKEN" in asked(endpoint, tmp_path, token="")
        assert "(HF_HUB_OFFLINE is set: unset it)" in asked(endpoint, tmp_path, offline=True)
        assert "no answer within 0.2 s" in asked(f"{endpoint}/silent", tmp_path, check_s=0.2)
    assert "whoami at http://127.0.0.1" in asked(endpoint, tmp_path)  # nothing listens there any more


SEND = """
from pathlib import Path
from driver.export.hub import HuggingFaceHub
HuggingFaceHub().send(Path({folder!r}), "ada/model")
"""


@pytest.mark.slow
def test_the_real_client_sends_all_files_in_one_commit_that_removes_the_weights_of_before(tmp_path: Path) -> None:
    folder = tmp_path / "final"
    folder.mkdir()
    names = ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in names:
        (folder / name).write_text("{}")
    before = ["model.safetensors", "config.json", "my-notes.md"]  # a single file: a loader would prefer it
    tree = [{"type": "file", "path": name, "size": 2, "oid": "0" * 40} for name in before]
    modes = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
    posts: list[tuple[str, str]] = []
    api = "/api/models/ada/model"
    answers: dict[str, tuple[int, object]] = {
        f"{api}/tree/main": (200, tree),
        f"{api}/preupload/main": (200, {"files": modes}),
        f"{api}/commit/main": (200, {"commitUrl": "http://127.0.0.1/ada/model/commit/1", "commitOid": "1" * 40}),
    }
    with served(answers, posts) as endpoint:
        run_with_hub(SEND.format(folder=str(folder)), endpoint, tmp_path / "home")
    (commit,) = (body for path, body in posts if path.startswith(f"{api}/commit/"))
    operations = [json.loads(line) for line in commit.splitlines()]
    assert sorted(each["value"]["path"] for each in operations if each["key"] == "file") == names
    assert [each["value"]["path"] for each in operations if each["key"] == "deletedFile"] == ["model.safetensors"]
