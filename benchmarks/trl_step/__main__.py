"""Measure the tokens per second of whole GRPO steps, beside TRL's GRPOTrainer.

    python -m benchmarks.trl_step --trl-python .venv-trl/bin/python [--rounds 3] [section.key=value ...]

A step draws 4 responses of exactly 128 tokens to each of 4 prompts, scores them by their number of characters and
learns from them, without KL, in bf16; ours then pushes the weights into vLLM. Both sides are in memory from start to
end and take turns. Both use all threads. By default our learner has two ranks of one thread each, which was fastest:
they fill two cores better than one rank of two threads.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.machine import say, this_machine
from benchmarks.measure import Side
from benchmarks.outcomes import Comparison, as_json, tables
from benchmarks.start import reserved
from benchmarks.trl_step.our_side import chats, make_endless, start_actors, train
from benchmarks.trl_step.trl_process import Task, TrlProcess, trl_process
from benchmarks.trl_step.turns import Turns
from cluster.environment import prepare_process
from cluster.layout import Role
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.config_paths import with_absolute_paths
from driver.inputs import TrainingInputs, prepare_training

AIM = 2.5
MODEL = ".cache/models/SmolLM2-135M-Instruct"
SHAPE = {
    "algorithm.groups_per_step": 4,
    "algorithm.group_size": 4,
    "algorithm.scale_by_std": "true",  # TRL's own default, as are the next two
    "algorithm.std_kind": "sample",
    "algorithm.std_epsilon": 1e-4,
    "policy.max_response_tokens": 128,
    "policy.max_model_len": 512,
    "learner.learning_rate": 1e-6,
    "learner.row_tokens": 4096,  # fewer rows mean fewer sums of gradients; attention costs the same
    "prompt.num_exemplars": 0,
    "evaluation.before": "false",
    "evaluation.after": "false",
}


def main() -> int:
    """Measure both sides and print the table. Return the exit code."""
    arguments = _arguments()
    machine = this_machine()
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keeps the output of libraries out of the results
    prepare_process()
    try:
        with tempfile.TemporaryDirectory(prefix="trl-step-") as folder:
            model = make_endless((ROOT / arguments.model).resolve(), Path(folder))
            comparison = compare(_config(arguments, model), arguments)
    except BadInput as mistake:
        say(str(mistake))
        return 2
    print(f"{machine}\n\n{tables([comparison])}", file=results)
    if arguments.json:
        print(json.dumps({"machine": asdict(machine), "results": [as_json(comparison)]}), file=results)
    results.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trl_step", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="of our side's config")
    parser.add_argument("--trl-python", type=Path, required=True, help="Python of the environment with TRL")
    parser.add_argument("--model", default=MODEL, help="SmolLM2's folder (%(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of each side that count; one more warms up (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="threads of TRL, of vLLM, and of all ranks together (%(default)s)"
    )
    parser.add_argument("--ranks", type=int, default=2, help="ranks of our learner (%(default)s)")
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="make TRL as fast as possible: bf16 weights, no gradient checkpointing, no autocast",
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object last")
    return parser.parse_args()


def _config(arguments: argparse.Namespace, model: Path) -> Config:
    """Return the config of SmolLM2 with the shapes of this comparison."""
    ours = {
        "policy.model": model,
        "pivot.model": model,
        "policy.num_cpus": arguments.threads,  # vLLM's threads
        "learner.num_ranks": arguments.ranks,
        "algorithm.steps": arguments.rounds + 1,
    }
    overrides = [f"{key}={value}" for key, value in (SHAPE | ours).items()]
    return with_absolute_paths(load_config(ROOT / "configs" / "smollm2.toml", [*overrides, *arguments.overrides]))


def compare(config: Config, arguments: argparse.Namespace) -> Comparison:
    """Run both sides in turn, and check that both did the same."""
    inputs = prepare_training(config)
    task = Task(
        model=config.policy.model,
        dtype="bfloat16" if arguments.tuned else "float32",  # float32 is its default, with bf16 autocast
        is_tuned=arguments.tuned,
        prompts=chats(config, inputs),
        prompts_per_step=config.algorithm.groups_per_step,
        responses_per_prompt=config.algorithm.samples_per_problem,
        response_tokens=config.policy.max_response_tokens,
        temperature=config.policy.temperature,
        learning_rate=config.learner.learning_rate,
        threads=arguments.threads,
    )
    with trl_process(arguments.trl_python, task) as theirs:
        turns = _take_turns(config, inputs, task, theirs=theirs, threads=arguments.threads)
    turns.check(theirs.tokens)
    return _comparison(turns, theirs, ranks=arguments.ranks, threads=arguments.threads)


def _take_turns(config: Config, inputs: TrainingInputs, task: Task, *, theirs: TrlProcess, threads: int) -> Turns:
    ranks = config.learner.num_ranks
    roles: list[Role] = ["policy", *("learner" for _ in range(ranks))]
    threads_of: dict[Role, int] = {"policy": threads, "learner": max(1, threads // ranks)}
    with reserved(config, roles, threads=threads_of) as bundles, asyncio.Runner() as runner:
        actors = runner.run(start_actors(config, bundles))
        theirs.wait_ready()
        turns = Turns(task=task, theirs=Side(turn=theirs.step, processes=(theirs.pid,)), processes=actors.processes)
        runner.run(train(config, inputs, actors, turns))
    return turns


def _comparison(turns: Turns, theirs: TrlProcess, *, ranks: int, threads: int) -> Comparison:
    task = turns.task
    stages = {
        f"seconds to {stage}": median(step[stage] for step in turns.stages[1:])
        for stage in ("generate", "learn", "push")
    }
    versions = ", ".join(f"{name} {version}" for name, version in theirs.versions.items())
    return Comparison(
        name="GRPO step, tuned TRL" if task.is_tuned else "GRPO step",
        unit="tokens",
        ours=f"the recipe's steps: vLLM worker with {threads} threads, {ranks} learner ranks with "
        f"{max(1, threads // ranks)}, a prompt computed once for its responses, weights pushed, Ray",
        bare="TRL's GRPOTrainer, transformers generation, "
        + (
            "bf16 weights, no gradient checkpointing, no autocast"
            if task.is_tuned
            else "its defaults: fp32 weights, bf16 autocast, gradient checkpointing"
        )
        + f", {threads} threads ({versions})",
        aim=AIM,
        our_rounds=tuple(turns.our_rounds[1:]),
        bare_rounds=tuple(turns.their_rounds[1:]),
        work=f"{task.prompts_per_step} prompts x {task.responses_per_prompt} responses of exactly "
        f"{task.response_tokens} tokens, which alone are counted; {median(turns.our_tokens):,.0f} with their prompts",
        notes={
            "seconds of a step of ours": median(one.seconds for one in turns.our_rounds[1:]),
            "of TRL's": median(one.seconds for one in turns.their_rounds[1:]),
            **stages,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
