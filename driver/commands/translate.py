"""`translate`: write the English questions of a set that has none, or questions in other languages from English ones.

The translator is a seq2seq model in the scorers, or the pivot. Every text is translated back, and the encoder of the
scorers says how similar it comes back. The rows are a JSON lines file to look at and to train on. With the run.name of
a command that was stopped it goes on item by item.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rich.table import Table

from actors.fleets.pool import Unanswered
from cluster.layout import Role
from cluster.team import Team
from contracts.config.data import FileSource
from contracts.config.reward import CustomRewardConfig, TranslationReasoning
from contracts.config.run import Config
from contracts.errors import BadInput, RunFailed
from contracts.paths import PROGRAM
from driver.commands.new_run import NewRun, new_run, print_licence_notes
from driver.config_paths import with_absolute_paths
from driver.inputs import check_encoder, problem_notes
from driver.problems.prompts import load_tokenizer
from driver.problems.sources import open_source
from driver.problems.template_inputs import TemplateInputs
from driver.run_state.stopping import Stopped, StopRequest, stopping_on_sigterm
from driver.tracking.run_folder import sole_writer
from driver.translation.items import Task, Work
from driver.translation.journal import ORIGIN, Journal, check_origin
from driver.translation.training_config import write_training_config
from driver.translation.translate import Counts, Translation, languages_spoken
from driver.translation.translators import EngineTranslator, Translates
from rewards.reading import PIVOT_LANGUAGE

FILES = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}
"""Source of a file by the ending of its name."""
_NUM_LOWEST = 5
_LONGEST_SHOWN = 100  # characters of a text in the table


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Translate, and return the summary of what was written.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: a model could not be loaded, or died.
    """
    arguments.overrides += _file_overrides(arguments.models)
    with new_run(arguments, "translate", role="scorer", also=_pivot, change=_translating, continues=ORIGIN) as command:
        config, console = command.config, command.console
        with console.phase("checking data"):
            check_encoder(config)
            work, notes, digest = _work(config)
            translator_of = _translator_of(config)
            origin = _origin(config, digest)
            check_origin(command.path, origin)
        print_licence_notes(config, console)
        for note in notes:
            console.note(note)
        with command.cluster() as layout, sole_writer(command.folder.path), Journal(command.path, origin) as journal:
            console.note(f"{journal.path}; if it stops, the same command with run.name={command.path.name} goes on")
            missing = [task for task in work.tasks if not journal.done.issuperset(work.keys(task))]
            counts = Counts()
            if missing:
                translate = partial(_translate, command, work, missing, journal, translator_of=translator_of)
                counts = command.on_team(layout, translate)
            counts.found = len(work.tasks) - len(missing)
            trained = write_training_config(
                command.path, config, extends=arguments.config, overrides=arguments.overrides
            )
            summary = command.finish(_summary(config, work, counts, journal) | {"training_config": str(trained)})
            lowest = sorted(_judged_rows(journal), key=lambda row: _similarity(row))[:_NUM_LOWEST]
    if lowest:
        command.terminal.print(_lowest_table(lowest, is_into_english=work.is_into_english))
    console.note(_headline(summary))
    console.note(f"next: {PROGRAM} doctor {trained}")
    console.note(f"then: {PROGRAM} train {trained}")
    return summary


def _file_overrides(words: Sequence[str]) -> list[str]:
    """Return the overrides that a data file on the command line stands for.

    Raises:
        BadInput: a word is no file of problems, or there are several.
    """
    if len(words) > 1:
        raise BadInput(f"one file at a time, got {', '.join(words)}", key=words[1])
    if not words:
        return []
    file = Path(words[0]).expanduser().resolve()
    if file.suffix not in FILES or not file.is_file():
        raise BadInput(
            f"{words[0]!r} is neither a file of problems ({', '.join(FILES)}), a CONFIG.toml nor a section.key=value",
            key=words[0],
        )
    return [f"data.source={FILES[file.suffix]}", f"data.path={json.dumps(str(file))}"]


def _pivot(config: Config) -> tuple[Role, ...]:
    return ("pivot",) if config.translate.translator == "pivot" else ()


def _translating(config: Config) -> Config:
    """Return the config with the reward that translates and compares whole texts, and needs no calibration."""
    reasoning = TranslationReasoning(
        method="translation", translator=config.translate.translator, calibration="off", low=0.0, high=1.0
    )
    reward = config.reward.model_copy(
        update={"reasoning": reasoning, "custom": CustomRewardConfig(), "unparsed_answers": "unscored"}
    )
    data = config.data.model_copy(update={"split": "all"}) if isinstance(config.data, FileSource) else config.data
    changed = config.model_copy(update={"reward": reward, "data": data})  # the evaluation's items are translated, too
    return with_absolute_paths(changed, models=("scorer", *_pivot(config)))


def _work(config: Config) -> tuple[Work, Sequence[str], str]:
    """Return what is translated, what a user should know of it, and a digest of the set.

    Raises:
        BadInput: the set is wrong, or `translate.into` mixes English with others.
    """
    into = config.translate.into
    if PIVOT_LANGUAGE in into and len(into) > 1:
        raise BadInput(
            'translate.into has "en" and others; into English, questions are translated from data.languages, into '
            "others from English: run it twice",
            key="translate.into",
        )
    languages = config.data.languages if into == (PIVOT_LANGUAGE,) else (PIVOT_LANGUAGE,)
    source = open_source(config.data, languages=languages, seed=config.run.seed, needs_english=False)
    return Work(source, languages=languages, into=into), problem_notes(source), source.fingerprint


def _origin(config: Config, digest: str) -> dict[str, object]:
    """Return what the rows depend on."""
    uses_pivot = config.translate.translator == "pivot"
    return {
        "problems": digest,
        "into": list(config.translate.into),
        "translator": config.pivot.model if uses_pivot else config.translator.model,
        "max_tokens": config.pivot.max_response_tokens if uses_pivot else config.translator.max_tokens,
        "encoder": config.scorer.model,
    }


def _translator_of(config: Config) -> Callable[[Team], Translates]:
    """Return the function that gives a team's translator; the pivot's tokenizer is checked here.

    Raises:
        BadInput: the pivot has no tokenizer or chat template.
    """
    if config.translate.translator != "pivot":
        return lambda team: team.scorer
    pivot = config.pivot
    tokenizer = load_tokenizer(
        pivot.model,
        chat_template=pivot.chat_template,
        trust_remote_code=pivot.trust_remote_code,
        section="pivot",
    )
    inputs = TemplateInputs.of(pivot, config.run)
    return lambda team: EngineTranslator.of(
        team.pivot, tokenizer, inputs, max_model_len=pivot.max_model_len, max_tokens=pivot.max_response_tokens
    )


async def _translate(
    command: NewRun,
    work: Work,
    missing: Sequence[Task],
    journal: Journal,
    team: Team,
    *,
    translator_of: Callable[[Team], Translates],
) -> Counts:
    """Translate what is missing on the team's actors; what is done is kept where the command is stopped.

    Raises:
        RunFailed: a worker could not load its model, or gave up.
    """
    config, stop = command.config, StopRequest()
    await team.start_scorers(languages_spoken(work))
    if config.translate.translator == "pivot":
        await team.start_pivot()
    with (
        stopping_on_sigterm(
            stop,
            grace_s=config.checkpoint.grace_s,
            last_work="keeping what is translated",
            on_signal=command.console.note,
        ),
        command.console.phase("translating", total=len(missing)) as done,
    ):
        translation = Translation(
            work, translator=translator_of(team), compare=team.scorer, write=journal.write, on_progress=done
        )
        with suppress(Stopped):
            try:
                await stop.before(translation.run(missing, num_in_flight=2 * config.scorer.num_workers))
            except Unanswered as failure:
                raise RunFailed(f"no translation: {failure}; what is done is kept", key="translate") from failure
    return translation.counts


def _judged_rows(journal: Journal) -> list[Mapping[str, object]]:
    return [row for row in journal.rows() if row.get("similarity") is not None]


def _similarity(row: Mapping[str, object]) -> float:
    value = row.get("similarity")
    return float(value) if isinstance(value, int | float) else math.nan


def _summary(config: Config, work: Work, counts: Counts, journal: Journal) -> dict[str, object]:
    values = sorted(map(_similarity, _judged_rows(journal)))
    return {
        "data": getattr(config.data, "path", config.data.source),
        "questions": str(journal.path),
        "into": list(config.translate.into),
        "translator": _origin(config, "")["translator"],
        "texts": len(work.tasks),
        "found": counts.found,
        "given": counts.given,
        "translated": counts.translated,
        "failed": counts.failed,
        "first_failed": counts.first_failed,
        "rows": len(journal.done),
        "similarity": statistics.fmean(values) if values else None,
        "similarity_p05": values[len(values) // 20] if values else None,
    }


def _headline(summary: Mapping[str, object]) -> str:
    parts = [f"{summary['texts']} texts", f"{summary['translated']} translated now", f"{summary['found']} before"]
    parts += [f"{summary['given']} given by the set"] if summary["given"] else []
    if summary["failed"]:
        parts.append(f"{summary['failed']} without a translation ({summary['first_failed']})")
    if summary["similarity"] is not None:
        parts.append(f"back-translation similarity {summary['similarity']:.3f} on average")
    return f"translate: {', '.join(parts)}; {summary['rows']} rows in {summary['questions']}"


def _lowest_table(rows: Sequence[Mapping[str, object]], *, is_into_english: bool) -> Table:
    """Return the rows that came back least similar, to be looked at."""
    before, after = ("question", "question_en") if is_into_english else ("question_en", "question")
    table = Table("similarity", "item", before, after, "back", title="least similar")
    for row in rows:
        texts = [str(row.get(name) or "")[:_LONGEST_SHOWN] for name in (before, after, "back_translation")]
        table.add_row(f"{_similarity(row):.3f}", str(row["item_id"]), *texts)
    return table
