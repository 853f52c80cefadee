"""Propose a config for a user's data and models: languages and lengths from the data, workers from the machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cluster.preflight.models import why_unusable
from contracts.config.layers import parse_override
from contracts.config.run import Config
from contracts.errors import BadInput, check_all
from contracts.ports import Console
from driver.config_paths import resolve_model
from driver.diagnosis.checks import check_machine
from driver.first_config.data import loaded, put_evaluation, put_languages, put_source
from driver.first_config.lengths import MEASURED, Lengths, choose, context_of, measured_prompts
from driver.first_config.machine import Machine, proposals
from driver.first_config.text import Choices, config_text
from driver.problems.builtin.texts import TEXTS
from driver.problems.sources import ProblemSource, open_source

_RESPONSE_GPU, _RESPONSE_CPU = 1024, 256  # tokens
_EVALUATED_GPU, _EVALUATED_CPU = 100, 16  # items of each language


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
    has_english: bool  # each has an English question; else `translate` is to write them
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
    put_source(choices, "data", given.data)
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
        counts, has_english = put_languages(choices, given.languages)
        num_items = _EVALUATED_GPU if given.machine.gpus else _EVALUATED_CPU
        put_evaluation(choices, given.test, num_items=num_items, is_translated=not has_english)
        config = loaded(choices)
        source = open_source(
            config.data, languages=config.data.languages, seed=config.run.seed, needs_english=has_english
        )
    if not set(config.data.languages) <= TEXTS.keys():
        why = "no built-in problems in these languages to calibrate on (docs/rewards.md)"
        choices.put("reward.reasoning.calibration", "off", why=why)
    if not has_english:
        choices.put("translate.translator", "seq2seq", why='or "pivot": the model of [pivot] translates')
        choices.put("translator.model", config.translator.model, why="docs/data.md says what its licence allows")
    with console.phase("measuring prompts"):
        lengths = _put_lengths(choices, given, source, has_english=has_english)
    with console.phase("fitting the run to the machine"):
        config = _fitted(choices, given)
    return Proposal(
        choices=choices, config=config, source=source, counts=counts, has_english=has_english, lengths=lengths
    )


def _put_model(choices: Choices, section: str, model: str, *, option: str) -> None:
    """Put a model.

    Raises:
        BadInput: there is no such folder; or a tokenizer of the hub is needed, and can be neither read nor downloaded.
    """
    resolved = resolve_model(model, option)
    if section != "scorer" and not Path(resolved).is_dir() and (why := why_unusable(resolved)) is not None:
        raise BadInput(f"{option} {model} {why}", key=option)
    choices.put(f"{section}.model", resolved)


def _put_lengths(choices: Choices, given: Given, source: ProblemSource, *, has_english: bool) -> dict[str, Lengths]:
    """Put the lengths of both engines: room for the longest prompt and a response."""
    for name in ("policy", "pivot"):
        choices.put(f"{name}.max_model_len", context_of(str(choices[f"{name}.model"]), f"{name}.model"))
        choices.put(f"{name}.max_response_tokens", 1)
    config = loaded(choices)
    contexts = {"policy": config.policy.max_model_len, "pivot": config.pivot.max_model_len}
    prompts = measured_prompts(config, source, has_english=has_english)
    response = _RESPONSE_GPU if given.machine.gpus else _RESPONSE_CPU
    found = {name: choose(prompts[name], context=contexts[name], response=response, section=name) for name in contexts}
    for name, lengths in found.items():
        known = "is taken to have" if name == "pivot" and not has_english else "has"
        measured = f"the longest of {len(prompts[name])} prompts {known} {lengths.longest_prompt} tokens"
        choices.put(f"{name}.max_model_len", lengths.max_model_len, why=measured)
        choices.put(f"{name}.max_response_tokens", lengths.max_response_tokens)
    if any(lengths.skips for lengths in found.values()):
        choices.put("data.on_bad_item", "skip", why="some prompts are too long for the models' context")
    elif not has_english:
        choices.put("data.on_bad_item", "skip", why="a translation may be too long; it is left out and counted")
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
        config = loaded(choices)
        try:
            check_machine(config)
            return config
        except BadInput as mistake:
            refused = refused or mistake
    assert refused is not None, "every machine has a proposal"
    raise refused
