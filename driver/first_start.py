"""Fill in what the first start of a run decides and later starts keep: the date, and the commits of hub models."""

from datetime import date

from contracts.config.run import Config
from driver.hub_revisions import with_pinned_models


def with_first_start(
    config: Config, sections: tuple[str, ...], *, before: Config | None = None, today: date | None = None
) -> Config:
    """Return the config without anything that another day, or a push to the hub, would change.

    Args:
        config: with absolute paths.
        sections: those whose models are loaded.
        before: the config of the run's last start; None for a new run.
        today: the date for a new run; None: the clock's.

    Raises:
        BadInput: a model's revision does not exist.
    """
    pinned = with_pinned_models(config, sections, before=before)
    if pinned.run.date != "auto":
        return pinned
    kept = before.run.date if before is not None else "auto"
    chosen = (today or date.today()) if kept == "auto" else kept
    return pinned.model_copy(update={"run": pinned.run.model_copy(update={"date": chosen})})
