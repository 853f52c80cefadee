"""Make every check of a training config, also after one that fails: all mistakes and warnings together.

`train` stops at the first mistake of data, models and prompts; here each check runs by itself. Nothing is started.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from cluster.builds import installed_builds
from cluster.capacity import this_machine
from cluster.device import planned_device
from cluster.estimate.fits import Hardware, check_memory
from cluster.layout import layout, training_roles
from cluster.settings import check_settings
from contracts.config.device_defaults import with_device_defaults
from contracts.config.learning import SftConfig
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.model_config import check_trainable
from contracts.ports import Console
from driver.calibration import check_calibration
from driver.config_paths import loaded_models, training_models, with_absolute_paths
from driver.custom_reward import load_source
from driver.evaluation.inputs import prepare_evaluation
from driver.export.hub import check_hub
from driver.first_start import with_first_start
from driver.inputs import (
    TrainingInputs,
    check_adapters,
    check_comet,
    check_critic,
    check_encoder,
    check_model_heads,
    pivot_prompts,
    policy_prompts,
    prepare_training,
)
from driver.problems.engine_prompts import engine_prompter
from driver.problems.prompts import Prompter
from driver.problems.review import usable_problems
from driver.problems.sources import ProblemSource, open_source
from driver.references.cache import check_folder

Result = TypeVar("Result")
Engine = Literal["policy", "pivot"]
ENGINES: tuple[Engine, ...] = ("policy", "pivot")


@dataclass(kw_only=True)
class Diagnosis:
    """Hold what was found of a config, and the config itself as far as it could be resolved."""

    config: Config
    mistakes: list[BadInput] = field(default_factory=list)
    inputs: TrainingInputs | None = None  # None: there is a mistake, or a model is not there

    def attempt(self, what: str, check: Callable[[], Result], console: Console) -> Result | None:
        """Return what a check returns; its mistakes are kept, and None is returned."""
        try:
            with console.phase(f"checking {what}"):
                return check()
        except BadInput as mistake:
            known = {str(one) for one in self.mistakes}
            self.mistakes += [one for one in mistake.all if str(one) not in known]
            return None


def diagnose(config: Config, console: Console) -> Diagnosis:
    """Return everything that is wrong with a config that was loaded.

    A check whose model or data is missing is left out: the missing piece is the mistake.
    """
    found = Diagnosis(config=with_absolute_paths(config, models=()))
    usable = _find_models(found, console)
    config = found.config
    found.attempt("devices and memory", lambda: check_machine(found.config), console)
    source = found.attempt("data", lambda: _open(config), console)
    for name in ENGINES:
        if name in usable:
            _check_engine(found, name, source, console)
    if "policy" in usable:
        found.attempt("whether the policy can be trained", lambda: _check_policy(config), console)
        if config.evaluation.is_wanted:
            found.attempt("the evaluation", lambda: prepare_evaluation(config), console)
    for what, check in _reward_checks(config, is_scored="scorer" in training_roles(config)):
        found.attempt(what, check, console)
    if (folder := config.pivot.cache_folder) is not None:
        found.attempt("the reference cache", lambda: check_folder(folder), console)
    found.attempt("the upload", lambda: check_hub(config.export), console)
    if not found.mistakes:  # what the checks above do not have by themselves
        found.inputs = found.attempt("everything together", lambda: prepare_training(config), console)
    return found


def _check_engine(found: Diagnosis, name: Engine, source: ProblemSource | None, console: Console) -> None:
    """Check an engine's tokenizer and template, and with them its prompts."""
    config = found.config
    made = found.attempt(f"the {name}'s tokenizer and template", lambda: engine_prompter(config, name), console)
    if made is not None and source is not None:
        prompter = made[0]
        found.attempt(f"the {name}'s prompts", lambda: _check_prompts(name, prompter, config, source), console)


def _find_models(found: Diagnosis, console: Console) -> set[str]:
    """Resolve the models, each by itself, and return the sections whose models are there."""
    usable: set[str] = set()
    for section in training_models(found.config):

        def resolve(section: str = section) -> Config:
            resolved = with_absolute_paths(found.config, models=(section,))
            return with_first_start(resolved, loaded_models(resolved, (section,)))

        if (resolved := found.attempt(f"the {section}'s model", resolve, console)) is not None:
            found.config = resolved
            usable.add(section)
    return usable


def check_machine(config: Config) -> None:
    """Check the settings of the device, and the sizes of the models against the memory that is known.

    Raises:
        BadInput: a setting does not fit the device, or an actor does not fit into its memory.
    """
    roles = training_roles(config)
    device = planned_device(config, this_machine(), installed_builds(), roles=roles).device
    check_settings(config, device, roles=roles)
    sized, given = with_device_defaults(config, device), config.cluster.gpu_memory_gib
    check_memory(sized, layout(sized, device, roles=roles), Hardware(gpu_gib=None if given == "auto" else given))


def _open(config: Config) -> ProblemSource:
    algorithm = config.algorithm
    asks_pivot = not isinstance(algorithm, SftConfig) or algorithm.sft_target == "pivot"
    languages = config.data.languages
    return open_source(config.data, languages=languages, seed=config.run.seed, needs_english=asks_pivot)


def _check_prompts(name: Engine, prompter: Prompter, config: Config, source: ProblemSource) -> None:
    check = policy_prompts(prompter) if name == "policy" else pivot_prompts(prompter)
    usable_problems(source, config.data.languages, checks=[check], on_bad_item=config.data.on_bad_item)


def _check_policy(config: Config) -> None:
    check_trainable(config.policy.model, key="policy.model")
    check_model_heads(config)
    check_adapters(config)
    if config.algorithm.name == "ppo" and config.critic.model:
        check_critic(config.critic.model, config.policy)


def _reward_checks(config: Config, *, is_scored: bool) -> Sequence[tuple[str, Callable[[], object]]]:
    """Return the checks of the reward's files by what they check; none where nothing is scored."""
    if not is_scored or isinstance(config.algorithm, SftConfig):
        return ()
    reward, languages = config.reward, config.data.languages
    checks: list[tuple[str, Callable[[], object]]] = [
        ("the calibration", lambda: check_calibration(reward.reasoning, languages)),
        ("the encoder", lambda: check_encoder(config)),
        ("the COMET model", lambda: check_comet(config)),
    ]
    if (path := reward.custom.path) is not None:
        checks.append(("your own reward", lambda: load_source(path, reward.custom.function)))
    return checks
