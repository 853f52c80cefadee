"""Read what an experiment consists of: one config, the arms as overrides of it, and the seeds."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Self

from contracts.config.load import dump_config, load_config
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.paths import ROOT, absolute

FOLDER = ROOT / "experiments"
PLAN = "experiment.toml"
REFERENCE_ARM = "pb-rlsvr"
"""The arm that every other arm is compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """Hold one way to train: the experiment's config with these overrides."""

    name: str
    about: str
    overrides: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Hold one experiment: every arm is trained with every seed."""

    name: str
    folder: Path
    config: Path
    seeds: tuple[int, ...]
    arms: Mapping[str, Arm]
    overrides: tuple[str, ...] = ()  # of all arms, e.g. for another size

    @classmethod
    def read(cls, name: str, overrides: tuple[str, ...] = ()) -> Self:
        """Read the experiment of this name, with overrides for all of its arms.

        Raises:
            BadInput: there is no such experiment, or its file is wrong.
        """
        folder = FOLDER / name
        if not (folder / PLAN).is_file():
            known = ", ".join(sorted(path.parent.name for path in FOLDER.glob(f"*/{PLAN}")))
            raise BadInput(f"there is no experiment {name!r}; there are {known}", key="EXPERIMENT")
        try:
            plan = tomllib.loads((folder / PLAN).read_text(encoding="utf-8"))
            arms = {
                arm: Arm(name=arm, about=found["about"], overrides=tuple(found.get("overrides", ())))
                for arm, found in plan["arms"].items()
            }
            config, seeds = ROOT / plan["config"], tuple(plan["seeds"])
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise BadInput(f"{folder / PLAN}: {error}", key=PLAN) from None
        return cls(name=name, folder=folder, config=config, seeds=seeds, arms=arms, overrides=overrides)

    @property
    def results(self) -> Path:
        """Return the file of raw results."""
        return self.folder / "results.jsonl"

    def words(self, arm: Arm, seed: int) -> tuple[str, ...]:
        """Return the overrides of one run."""
        return (*self.overrides, *arm.overrides, f"run.seed={seed}")

    def load(self, arm: Arm, seed: int) -> Config:
        """Return the config of one run.

        Raises:
            BadInput: a key or a value is wrong.
        """
        return load_config(self.config, self.words(arm, seed))


def digest_of(config: Config) -> str:
    """Return a digest of a config, and of the models that it names where they are local folders."""
    digest = blake2b(dump_config(config).encode(), digest_size=8)
    for model in (config.policy.model, config.pivot.model):
        for file in sorted(absolute(model).glob("*.safetensors")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
