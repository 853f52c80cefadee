"""Start TRL's side, a program in another environment, and let it take one step at a time.

Lines of JSON travel over the pipes of its process.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TypedDict

from benchmarks.measure import Round
from cluster.environment import QUIET

SCRIPT = Path(__file__).with_name("trl_side.py")
_SHOWN_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hold what both sides do. The other program has a class with the same fields."""

    model: str  # a folder
    dtype: str  # of the weights
    is_tuned: bool  # the settings that are fastest here, not TRL's defaults
    prompts: Sequence[list[dict[str, str]]]  # chats, in the order of the steps
    prompts_per_step: int
    responses_per_prompt: int
    response_tokens: int  # of every response
    temperature: float
    learning_rate: float
    threads: int  # of TRL's process

    @property
    def tokens_per_step(self) -> int:
        return self.prompts_per_step * self.responses_per_prompt * self.response_tokens


class Ready(TypedDict):
    """Be the first answer of TRL's side."""

    versions: dict[str, str]
    threads: int


class StepDone(TypedDict):
    """Be the answer of TRL's side after a step."""

    seconds: float
    tokens: int  # prompt and response tokens that were learned from
    response_tokens: int


class TrlProcess:
    """Talk to the process, which waits for its turn."""

    def __init__(self, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self._process, self._log = process, log
        self.versions: dict[str, str] = {}
        self.tokens: list[int] = []  # prompt and response, of each step so far
        self.pid = process.pid

    def wait_ready(self) -> None:
        """Wait until the model is loaded."""
        ready: Ready = json.loads(self._line())
        self.versions = ready["versions"]

    def step(self, number: int) -> Round:
        """Run one step of the trainer, timed inside its process. The work is the number of response tokens."""
        self.say(f"step {number}")
        done: StepDone = json.loads(self._line())
        self.tokens.append(done["tokens"])
        return Round(work=float(done["response_tokens"]), seconds=done["seconds"])

    def say(self, line: str) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            last = "".join(self._log.readlines()[-_SHOWN_LINES:])
            raise RuntimeError(f"TRL's side ended with exit code {self._process.wait()}; its last lines:\n{last}")
        return line


@contextmanager
def trl_process(python: Path, task: Task) -> Iterator[TrlProcess]:
    """Start the program, which then loads its model. It ends with the context."""
    environment = os.environ | QUIET | {"OMP_NUM_THREADS": str(task.threads), "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(
            [python, "-W", "ignore", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            side = TrlProcess(process, log)
            side.say(json.dumps(asdict(task)))
            yield side
        finally:
            process.kill()  # it waits for its next turn
