"""Choose the sections [data] and [evaluation] for a user's data: source, columns, languages, what it is measured on."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from contracts.config.data import FileSource, HubSource
from contracts.config.keys import sections
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import BadInput, shown
from driver.config_paths import with_absolute_paths
from driver.first_config.text import Choices, config_text
from driver.problems.builtin.texts import TEXTS
from driver.problems.sources import open_source, problems_by_language, usual_columns

_ENDINGS = {"ndjson": "jsonl", "pq": "parquet"}


def put_source(choices: Choices, section: str, given: str) -> None:
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


def put_languages(choices: Choices, languages: Sequence[str]) -> tuple[Mapping[str, int], bool]:
    """Put the columns of the data by their usual names, and the languages that are trained.

    Args:
        choices: of the config.
        languages: to train on; empty: all that the data has.

    Returns:
        How many problems each of the data's languages has, and whether the English questions are there.

    Raises:
        BadInput: the data can't be used.
    """
    choices.put("data.languages", list(languages) or ["de"])  # so that the section can be read
    _put_columns(choices, "data")
    counts, has_english = _counted(choices, languages)
    trained = list(languages) or [code for code in counts if code != "en"] or list(counts)
    choices.put("data.languages", trained, why=", ".join(f"{code} {count}" for code, count in counts.items()))
    return counts, has_english


def put_evaluation(choices: Choices, test: str | None, *, num_items: int, is_translated: bool) -> None:
    """Put what the policy is measured on: the user's test set, else a part of the data, else built-in problems.

    Args:
        choices: of the config.
        test: a file, a folder or a dataset's name.
        num_items: items of each language.
        is_translated: the English questions are missing now, and will be there.

    Raises:
        BadInput: the test set can't be used.
    """
    choices.put("evaluation.num_items", num_items)
    if choices.fixed & {"evaluation.source", "evaluation.tasks"}:
        return
    if test is not None:
        put_source(choices, "evaluation", test)
        _put_columns(choices, "evaluation")
        _put_measured(choices, is_translated=False)
    elif not _holds_out(choices, is_translated=is_translated):
        languages = loaded(choices).data.languages
        if set(languages) <= TEXTS.keys():
            choices.say("evaluation.num_items", "built-in problems; --test FILE measures on a file of yours")
            return
        why = "no answers that are numbers, and no built-in problems in these languages; --test FILE gives some"
        choices.put("evaluation.before", False, why=why)
        choices.put("evaluation.after", False)


def loaded(choices: Choices) -> Config:
    """Return the choices as a checked config with absolute paths.

    Raises:
        BadInput: a value that the user gave is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proposed.toml"
        path.write_text(config_text(choices), encoding="utf-8")
        return with_absolute_paths(load_config(path), models=())


def _put_columns(choices: Choices, section: str) -> None:
    """Put the columns whose names are others than the project's, but usual ones."""
    config = loaded(choices)
    source = config.data if section == "data" else config.evaluation
    if isinstance(source, FileSource | HubSource):
        for meaning, name in usual_columns(source).items():
            choices.put(f"{section}.columns.{meaning}", name, why="by its name; correct it if it holds something else")


def _counted(choices: Choices, languages: Sequence[str]) -> tuple[Mapping[str, int], bool]:
    """Return the problems of each language, and whether English questions are there.

    A column of items that was chosen by its name is left out again where its values name no items.

    Raises:
        BadInput: the data can't be used.
    """
    refused: BadInput | None = None
    for needs_english in _tries(choices):
        try:
            data = loaded(choices).data
            return problems_by_language(data, languages=languages, needs_english=needs_english), needs_english
        except BadInput as mistake:
            if mistake.key not in ("question_en", "item_id"):
                raise
            refused = mistake
    assert refused is not None, "the last of several tries was refused"
    raise refused


def _tries(choices: Choices) -> Iterator[bool]:
    """Yield whether English questions are needed, first with the column of items and then without it."""
    yield from (True, False)
    if "data.columns.item_id" in choices.values.keys() - choices.fixed:
        del choices.values["data.columns.item_id"]
        yield from (True, False)


def _holds_out(choices: Choices, *, is_translated: bool) -> bool:
    """Put the test split of a file with answers as the evaluation; return whether that can be evaluated."""
    before = choices.copy()
    data = loaded(choices).data
    if not isinstance(data, FileSource):
        return False
    choices.put("data.split", "train", why="four fifths of the items")
    choices.put("evaluation.source", data.source)
    choices.put("evaluation.path", data.path)
    choices.put("evaluation.split", "test", why="the other fifth; --test FILE measures on a file of yours")
    for key in ("rows_language", "header"):
        if f"data.{key}" in choices.values:
            choices.put(f"evaluation.{key}", choices[f"data.{key}"])
    for key, value in list(choices.values.items()):
        if key.startswith("data.columns."):
            choices.put(key.replace("data.", "evaluation.", 1), value)
    try:
        _put_measured(choices, is_translated=is_translated)
    except BadInput:  # without answers, or too few items for two parts
        choices.restore(before)
        return False
    return True


def _put_measured(choices: Choices, *, is_translated: bool) -> None:
    """Leave out items without a number as their answer, and English where the set has none.

    Raises:
        BadInput: nothing is left, or the set can't be used.
    """
    choices.put("evaluation.on_bad_item", "skip", why="items whose answer is no number are left out")
    config = loaded(choices)
    trained = config.data.languages
    if not isinstance(config.evaluation, FileSource | HubSource):
        return
    if not is_translated and "evaluation.languages" not in choices.values:
        try:
            _open_evaluation(config, config.evaluation_languages)
            return
        except BadInput as mistake:
            if mistake.key != "languages":
                raise
        choices.put("evaluation.languages", list(trained), why="no English questions: the gap is not measured")
    _open_evaluation(config, trained if is_translated else loaded(choices).evaluation_languages)


def _open_evaluation(config: Config, languages: Sequence[str]) -> None:
    open_source(config.evaluation, languages=languages, seed=config.run.seed, needs_english=False)
