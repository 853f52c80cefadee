"""Propose a config for a user's data and models: languages and lengths from the data, workers from the machine."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cluster.preflight.models import why_unusable
from contracts.config.keys import sections
from contracts.config.layers import parse_override
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import BadInput, check_all, shown
from contracts.ports import Console
from driver.config_paths import resolve_model, with_absolute_paths
from driver.diagnosis.checks import check_machine
from driver.first_config.lengths import MEASURED, Lengths, choose, context_of, measured_prompts
from driver.first_config.machine import Machine, proposals
from driver.first_config.text import Choices, config_text
from driver.problems.sources import ProblemSource, open_source, problems_by_language

_ENDINGS = {"ndjson": "jsonl", "pq": "parquet"}
_RESPONSE_GPU, _RESPONSE_CPU = 1024, 256  # tokens


@dataclass(frozen=True, kw_only=True)
class Given:
    """Hold what the user gives; models are folders, or names on the hub."""

    data: str
    test: str | None
    policy: str
    pivot: str
    encoder: str
    languages: tuple[str, ...]  # to train on; (): all that the data has
    machine: Machine
    overrides: Sequence[str] = ()


@dataclass(kw_only=True)
class Proposal:
    """Hold the proposed config, and what it was made from."""

    choices: Choices
    config: Config  # with absolute paths
    source: ProblemSource
    counts: Mapping[str, int]  # problems by language
    lengths: Mapping[str, Lengths] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return the config as a commented TOML file."""
        return config_text(self.choices)


def propose(given: Given, console: Console) -> Proposal:
    """Return a config that runs on the data, the models and the machine that are given.

    Raises:
        BadInput: the data or a model can't be used, or the models don't fit on the machine.
    """
    choices = Choices(title=f"Made from {given.data} by `init`. Each value may be changed; `doctor` checks it.")
    choices.fix(dict(map(parse_override, given.overrides)))
    _put_data(choices, "data", given.data)
    check_all(
        *(
            partial(_put_model, choices, section, model, option=option)
            for section, model, option in (
                ("policy", given.policy, "--policy"),
                ("pivot", given.pivot, "--pivot"),
                ("scorer", given.encoder, "--encoder"),
            )
        )
    )
    if given.pivot == given.policy:
        choices.say("pivot.model", "the policy itself; a model that is stronger in English teaches more")
    _put_learning(choices, given.machine)
    with console.phase("reading the data"):
        counts = _languages(choices, given)
        config = _loaded(choices)
        source = open_source(config.data, languages=config.data.languages, seed=config.run.seed)
    _put_evaluation(choices, given)
    with console.phase("measuring prompts"):
        lengths = _put_lengths(choices, given, source)
    with console.phase("fitting the run to the machine"):
        config = _fitted(choices, given)
    return Proposal(choices=choices, config=config, source=source, counts=counts, lengths=lengths)


def _put_model(choices: Choices, section: str, model: str, *, option: str) -> None:
    """Put a model.

    Raises:
        BadInput: there is no such folder; or a tokenizer of the hub is needed, and can be neither read nor downloaded.
    """
    resolved = resolve_model(model, option)
    if section != "scorer" and not Path(resolved).is_dir() and (why := why_unusable(resolved)) is not None:
        raise BadInput(f"{option} {model} {why}", key=option)
    choices.put(f"{section}.model", resolved)


def _put_data(choices: Choices, section: str, given: str) -> None:
    """Put the source of a file, a folder or a dataset's name.

    Raises:
        BadInput: it is none of them.
    """
    path = Path(given).expanduser()
    known = {choice for names, _ in sections()["data"].members for choice in names}
    ending = path.suffix.lstrip(".").casefold()
    source = _ENDINGS.get(ending, ending)
    if path.is_dir():
        source = "mgsm" if any(path.glob("mgsm_*.tsv")) else "huggingface"
    elif not path.exists() and given.count("/") <= 1 and source not in known:
        choices.put(f"{section}.source", "huggingface")
        choices.put(f"{section}.path", given)
        return
    if not path.exists():
        raise BadInput(f"there is no file {path.resolve()}", key="DATA")
    if source not in known:
        raise BadInput(f"{path}: the ending is {shown(path.suffix)}; known are {', '.join(sorted(known))}", key="DATA")
    choices.put(f"{section}.source", source)
    choices.put(f"{section}.path", str(path.resolve()))


def _languages(choices: Choices, given: Given) -> Mapping[str, int]:
    """Put the languages that are trained, and return how many problems each of the data's has."""
    choices.put("data.languages", list(given.languages) or ["de"])  # so that the section can be read
    data = _loaded(choices).data
    counts = problems_by_language(data, languages=given.languages)
    trained = list(given.languages) or [code for code in counts if code != "en"] or list(counts)
    choices.put("data.languages", trained, why=", ".join(f"{code} {count}" for code, count in counts.items()))
    return counts


def _put_lengths(choices: Choices, given: Given, source: ProblemSource) -> dict[str, Lengths]:
    """Put the lengths of both engines: room for the longest prompt and a response."""
    for name in ("policy", "pivot"):
        choices.put(f"{name}.max_model_len", context_of(str(choices[f"{name}.model"]), f"{name}.model"))
        choices.put(f"{name}.max_response_tokens", 1)
    config = _loaded(choices)
    contexts = {"policy": config.policy.max_model_len, "pivot": config.pivot.max_model_len}
    prompts = measured_prompts(config, source, config.data.languages)
    response = _RESPONSE_GPU if given.machine.gpus else _RESPONSE_CPU
    found = {name: choose(prompts[name], context=contexts[name], response=response, section=name) for name in contexts}
    for name, lengths in found.items():
        measured = f"the longest of {len(prompts[name])} prompts has {lengths.longest_prompt} tokens"
        choices.put(f"{name}.max_model_len", lengths.max_model_len, why=measured)
        choices.put(f"{name}.max_response_tokens", lengths.max_response_tokens)
    if any(lengths.skips for lengths in found.values()):
        choices.put("data.on_bad_item", "skip", why="some prompts are too long for the models' context")
    elif len(prompts["pivot"]) >= MEASURED - len(config.data.languages):
        choices.put("data.on_bad_item", "skip", why="only the first prompts were measured; a longer one is left out")
    return found


def _put_learning(choices: Choices, machine: Machine) -> None:
    on_gpu = machine.gpus > 0
    choices.put(
        "algorithm.steps", 200 if on_gpu else 20, why="optimiser steps; look at the report after the first ones"
    )
    choices.put("algorithm.groups_per_step", 32 if on_gpu else 4, why="problems of a step")
    choices.put("algorithm.group_size", 8 if on_gpu else 4, why="responses to each of them")
    choices.put("learner.learning_rate", 1e-6)
    choices.put("checkpoint.every_steps", 20 if on_gpu else 10)


def _put_evaluation(choices: Choices, given: Given) -> None:
    num_items = 100 if given.machine.gpus else 16
    if given.test is not None:
        _put_data(choices, "evaluation", given.test)
    else:
        choices.say("evaluation.num_items", "built-in problems; --test FILE measures on a file of yours")
    choices.put("evaluation.num_items", num_items)


def _fitted(choices: Choices, given: Given) -> Config:
    """Put the first layout whose actors fit into the memory that is known, and return the config.

    Raises:
        BadInput: none fits.
    """
    refused: BadInput | None = None
    before = choices.copy()
    for values in proposals(given.machine):
        choices.restore(before)
        for key, value in values.items():
            choices.put(key, value)
        config = _loaded(choices)
        try:
            check_machine(config)
            return config
        except BadInput as mistake:
            refused = refused or mistake
    assert refused is not None, "every machine has a proposal"
    raise refused


def _loaded(choices: Choices) -> Config:
    """Return the choices as a checked config with absolute paths."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proposed.toml"
        path.write_text(config_text(choices), encoding="utf-8")
        return with_absolute_paths(load_config(path), models=())
