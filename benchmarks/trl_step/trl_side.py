"""Run TRL's GRPOTrainer as its documentation describes, and pause it after every step until its next turn.

This program runs in an environment of its own (requirements/trl.txt) and imports nothing of this project. The first
line of JSON on standard input says what to train on. Every later line is one turn: one step of the trainer, answered by
a line of JSON on standard output. The process ends when its input ends.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TextIO

import torch
import transformers
import trl
from datasets import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

Chat = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hold what both sides do. The program that starts this one has a class with the same fields."""

    model: str  # a folder
    dtype: str  # of the weights
    is_tuned: bool  # the settings that are fastest here, not TRL's defaults
    prompts: list[Chat]  # in the order of the steps
    prompts_per_step: int
    responses_per_prompt: int
    response_tokens: int
    temperature: float
    learning_rate: float
    threads: int

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return len(self.prompts) // self.prompts_per_step


def length_reward(completions: list[Chat], **columns: object) -> list[float]:
    """Return the number of characters of each response."""
    return [float(len(completion[0]["content"])) for completion in completions]


class InTurn(TrainerCallback):
    """Time each step from the moment it may start, and count its tokens."""

    def __init__(self, turns: TextIO, answers: TextIO) -> None:
        self._turns = turns
        self._answers = answers
        self._started = 0.0
        self._tokens_before = 0
        self.response_tokens = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: object
    ) -> None:
        """Wait for the first turn."""
        self._wait(state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: object
    ) -> None:
        """Answer the turn, and wait for the next."""
        seconds = time.perf_counter() - self._started
        tokens = int(state.num_input_tokens_seen) - self._tokens_before
        self._say({"seconds": seconds, "tokens": tokens, "response_tokens": self.response_tokens})
        if state.global_step < state.max_steps:
            self._wait(state)

    def ready(self) -> None:
        """Write that the model is loaded, with the versions of the libraries."""
        versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
        self._say({"versions": versions, "threads": torch.get_num_threads()})

    def _wait(self, state: TrainerState) -> None:
        if not self._turns.readline():
            raise SystemExit(0)  # the other side has ended
        self.response_tokens = 0
        self._tokens_before = int(state.num_input_tokens_seen)
        self._started = time.perf_counter()

    def _say(self, answer: dict[str, object]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def train(task: Task, in_turn: InTurn) -> None:
    """Train until all steps are done."""

    def reward(completions: list[Chat], completion_ids: list[list[int]], **columns: object) -> list[float]:
        in_turn.response_tokens += sum(map(len, completion_ids))
        return length_reward(completions)

    with tempfile.TemporaryDirectory(prefix="trl-step-") as folder:
        settings = GRPOConfig(
            output_dir=folder,
            model_init_kwargs={"dtype": task.dtype},
            # Both are on by default, with fp32 weights. With weights in bf16, autocast gains nothing.
            bf16=not task.is_tuned,
            gradient_checkpointing=not task.is_tuned,
            use_cpu=True,
            per_device_train_batch_size=task.prompts_per_step * task.responses_per_prompt,
            num_generations=task.responses_per_prompt,
            max_completion_length=task.response_tokens,
            temperature=task.temperature,
            beta=0.0,
            learning_rate=task.learning_rate,
            lr_scheduler_type="constant",
            max_steps=task.steps,
            shuffle_dataset=False,  # both sides see the same prompts in a step
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=task.model,
            reward_funcs=reward,
            args=settings,
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in task.prompts]),
            callbacks=[in_turn],
        )
        in_turn.ready()
        trainer.train()


def main() -> None:
    """Read the task and train."""
    # The output of libraries must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task = Task(**json.loads(sys.stdin.readline()))
    torch.set_num_threads(task.threads)
    train(task, InTurn(sys.stdin, answers))


if __name__ == "__main__":
    main()
