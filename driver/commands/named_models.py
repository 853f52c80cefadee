"""Find the model that a word of the command line names: a run folder, a folder of a model, or a name on the hub."""

from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BadInput
from driver.config_paths import resolve_model
from driver.evaluation.record import slug_of
from driver.export.folder import EXPORT
from driver.tracking.run_folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """Hold one model to evaluate."""

    name: str  # in tables: of the folder or the run, or the name on the hub
    model: str  # an absolute folder or a name on the hub
    run: RunFolder | None  # whose export it is

    @property
    def slug(self) -> str:
        """Return the name as a file can have it."""
        return slug_of(self.name)


def named_model(word: str) -> NamedModel:
    """Return the model of a word.

    Raises:
        BadInput: a run folder has no exported policy, or there is no such folder.
    """
    folder = Path(word).expanduser()
    run = RunFolder(folder.resolve())
    if not run.config.is_file():
        model = resolve_model(str(folder.resolve()) if folder.is_dir() else word, "MODEL")
        return NamedModel(name=folder.resolve().name if folder.is_dir() else word, model=model, run=None)
    export = run.checkpoints / EXPORT
    if not (export / "config.json").is_file():
        raise BadInput(
            f"{word} is a run folder without an exported policy ({export}): the run is not finished; finish it with "
            f"`train`, or name the folder of a model",
            key="MODEL",
        )
    return NamedModel(name=run.path.name, model=str(export), run=run)


def of_config(model: str) -> NamedModel:
    """Return the model that a config names: an absolute folder or a name on the hub."""
    return NamedModel(name=Path(model).name if Path(model).is_dir() else model, model=model, run=None)


def distinct(models: list[NamedModel]) -> list[NamedModel]:
    """Return the models, each with a name of its own.

    Raises:
        BadInput: one is named twice.
    """
    slugs = [model.slug for model in models]
    if twice := next((model.name for model in models if slugs.count(model.slug) > 1), None):
        raise BadInput(f"{twice} is named twice, or two models have the same name", key="MODEL")
    return models
