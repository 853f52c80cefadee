"""Test datasets of the hub with the real client, against a local server in the hub's form: configuration, revision."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[4]
COMMITS = {"v1": "1" * 40, "v2": "2" * 40}
"""Tag -> commit; the newest one is also `main`."""
CARD = b"---\nconfigs:\n- config_name: en\n  data_files: en.jsonl\n- config_name: sw\n  data_files: sw.jsonl\n---\n"
PROGRAM = """
import json, sys
from contracts.errors import BadInput
from driver.problems.hub_tables import open_huggingface
for path, subset, revision in json.loads(sys.argv[1]):
    try:
        answer = ["read", [row["question"] for row in open_huggingface(
            path, split="train", subset=subset, revision=revision
        ).rows()]]
    except BadInput as mistake:
        answer = ["refused", mistake.key, str(mistake)]
    print(json.dumps(answer))
"""
Asked = tuple[str, str | None, str | None]  # dataset, configuration, revision


def files(commit: str) -> dict[str, bytes]:
    """Return the files of the dataset `lab/set` at a commit."""
    rows = {name: json.dumps({"question": f"{name} {commit[0]}"}).encode() + b"\n" for name in ("en", "sw")}
    return {"README.md": CARD} | {f"{name}.jsonl": row for name, row in rows.items()}


class Hub(BaseHTTPRequestHandler):
    """Answer for one dataset, `lab/set`, as the hub does."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        _, *parts = unquote(self.path.partition("?")[0]).split("/")
        match parts:
            case ["api", "datasets", "lab", "set", *rest]:
                self.describe(rest)
            case ["datasets", "lab", "set", "resolve", revision, *name]:
                self.file(revision, "/".join(name))
            case _:
                self.reply(404, error="RepoNotFound")

    do_GET = do_HEAD = answer

    def describe(self, rest: Sequence[str]) -> None:
        commit = self.commit(rest[1] if len(rest) > 1 else "main")
        if commit is None:
            self.reply(404, error="RevisionNotFound")
            return
        sizes = {name: len(body) for name, body in files(commit).items()}
        tree = [{"type": "file", "path": name, "size": size, "oid": "a" * 40} for name, size in sizes.items()]
        about = {"id": "lab/set", "sha": commit, "siblings": [{"rfilename": name} for name in sizes], "tags": []}
        self.reply(200, json.dumps(tree if rest and rest[0] == "tree" else about).encode())

    def file(self, revision: str, name: str) -> None:
        commit = self.commit(revision)
        if commit is None or name not in files(commit):
            self.reply(404, error="RevisionNotFound" if commit is None else "EntryNotFound", commit=commit or "")
            return
        self.reply(200, files(commit)[name], commit=commit)

    def commit(self, revision: str) -> str | None:
        known = COMMITS | {commit: commit for commit in COMMITS.values()} | {"main": COMMITS["v2"]}
        return known.get(revision)

    def reply(self, status: int, body: bytes = b"{}", *, error: str = "", commit: str = "") -> None:
        self.send_response(status)
        headers = {"X-Error-Code": error, "X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the server's messages do not belong to a test's output."""


@contextmanager
def hub() -> Iterator[str]:
    """Run the server, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(endpoint: str, home: Path, *asked: Asked, offline: bool = False) -> list[list]:
    """Return what a process of its own reads: the client reads the environment at import."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
    command = [sys.executable, "-c", PROGRAM, json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_dataset_is_read_by_configuration_and_revision_or_refused_in_one_line(tmp_path: Path) -> None:
    with hub() as endpoint:
        answers = ask(
            endpoint,
            tmp_path,
            ("lab/set", "sw", "v1"),
            ("lab/set", "en", None),
            ("lab/set", "sw", COMMITS["v2"]),
            ("lab/set", "sw", "v3"),
            ("lab/set", "yo", "v1"),
            ("lab/other", None, None),
        )
    assert answers[:3] == [["read", ["sw 1"]], ["read", ["en 2"]], ["read", ["sw 2"]]]
    assert [answer[:2] for answer in answers[3:]] == [
        ["refused", "revision"],
        ["refused", "lab/set"],
        ["refused", "lab/other"],
    ]
    assert "'v3'" in answers[3][2] and "['en', 'sw']" in answers[4][2]
    assert all("\n" not in answer[2] for answer in answers[3:])


def test_without_the_hub_the_cache_is_read_if_asked_for_and_only_at_the_revision(tmp_path: Path) -> None:
    with hub() as endpoint:
        assert ask(endpoint, tmp_path, ("lab/set", "sw", "v1")) == [["read", ["sw 1"]]]
    (silent,) = ask(endpoint, tmp_path, ("lab/set", "sw", "v1"))  # nothing listens there any more
    assert silent[:2] == ["refused", "lab/set"] and "HF_HUB_OFFLINE=1" in silent[2]
    answers = ask(
        endpoint,
        tmp_path,
        ("lab/set", "sw", COMMITS["v1"]),
        ("lab/set", "sw", None),
        ("lab/set", "sw", COMMITS["v2"]),
        ("lab/set", "sw", "v2"),
        offline=True,
    )
    assert answers[:2] == [["read", ["sw 1"]]] * 2
    assert [answer[:2] for answer in answers[2:]] == [["refused", "revision"]] * 2
