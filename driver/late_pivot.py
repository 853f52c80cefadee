"""Decide whether a run starts its pivot at once, or only when a reference turns out to be missing in the cache."""

from collections.abc import Callable
from pathlib import Path

from cluster.layout import Role
from contracts.config.data import HubData
from contracts.config.learning import SftConfig
from contracts.config.reward import TranslationReasoning
from contracts.config.run import Config
from driver.first_start import with_first_start
from driver.inputs import TrainingInputs, open_stream
from driver.problems.engine_prompts import engine_prompter
from driver.problems.sources import open_source
from driver.references.coverage import CachedKeys, has_every_reference
from driver.run_state.state import RunState

NO_PIVOT = (
    "references: the cache has every one that the run can draw, so no pivot is started; it is started if one turns out "
    "to be missing"
)


def late_roles(config: Config, inputs: TrainingInputs, *, goes_on_from: RunState | None) -> tuple[Role, ...]:
    """Return ("pivot",) where a run starts no pivot at once, else nothing. A continued run goes on from a state.

    Raises:
        BadInput: the files of the pivot's model can't be read.
    """
    if not _asks_for_references_only(config):
        return ()
    step, again = (goes_on_from.step, goes_on_from.open["again"]) if goes_on_from else (0, [])
    is_covered = has_every_reference(config, inputs.stream, inputs.pivot_prompter, again=again, after_step=step)
    return ("pivot",) if is_covered else ()


def planned_late_roles(config: Config, *, note: Callable[[str], None]) -> tuple[Role, ...]:
    """Return the late roles of a new run, for `plan`, which downloads nothing. `note` gets what could not be found out.

    Raises:
        BadInput: data, tokenizer or model of the pivot are wrong.
    """
    folder = config.pivot.cache_folder
    if not _asks_for_references_only(config) or folder is None or not len(CachedKeys(folder)):
        return ()
    on_hub = {"pivot.model": not Path(config.pivot.model).is_dir(), "data.path": isinstance(config.data, HubData)}
    if any(on_hub.values()):
        keys = " and ".join(key for key, is_there in on_hub.items() if is_there)
        note(f"references: {keys} is on the hub, so `plan` does not know whether the cache has all; `train` looks")
        return ()
    config = with_first_start(config, ())
    source = open_source(config.data, languages=config.data.languages, seed=config.run.seed)
    prompter, _ = engine_prompter(config, "pivot")
    return ("pivot",) if has_every_reference(config, open_stream(config, source), prompter) else ()


def _asks_for_references_only(config: Config) -> bool:
    """Return whether the pivot has nothing to do in a run but to write references, which a cache keeps."""
    if isinstance(config.algorithm, SftConfig):
        return config.algorithm.sft_target == "pivot"
    reasoning = config.reward.reasoning
    return not (isinstance(reasoning, TranslationReasoning) and reasoning.translator == "pivot")
