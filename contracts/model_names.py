"""Read what a config calls a model: a local folder, or a name on the Hugging Face hub, with a revision or without."""

from pathlib import Path

from contracts.errors import BadInput


def name_and_revision(model: str) -> tuple[str, str | None]:
    """Return what a library loads, and at which revision: ("owner/name", "3f2a...") of "owner/name@3f2a...".

    The revision is None for a local folder, and for a name without one.
    """
    name, at, revision = model.partition("@")
    if not at or is_path(model) or Path(model).is_dir():
        return model, None
    return name, revision


def is_path(model: str) -> bool:
    """Return whether a model is written like a path: a name on the hub has at most one slash before its revision."""
    return model.startswith((".", "/", "~")) or model.partition("@")[0].count("/") > 1


def check_revision(model: str, key: str) -> None:
    """Check that a name on the hub with "@" has both a name and a revision.

    Raises:
        BadInput: one of the two is empty.
    """
    name, revision = name_and_revision(model)
    if revision is not None and not (name and revision):
        raise BadInput(
            f"{key} = {model!r}: a model on the hub is written owner/name or owner/name@revision, where the revision "
            "is a branch, a tag or a commit",
            key=key,
        )
