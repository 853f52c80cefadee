"""Define the config sections of the problems: what is learned from, what is evaluated on, and how a problem is
asked."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from contracts.config.section import Auto, Choice, MayChange, Off, Section
from contracts.errors import BadInput
from contracts.paths import absolute
from languages.codes import did_you_mean
from languages.facts import read_own_languages
from languages.files import LanguageFileError
from languages.language import Language

Level: TypeAlias = Annotated[int, Field(ge=1, le=4)]
LogicLevel: TypeAlias = Annotated[int, Field(ge=1, le=3)]
Languages: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1)]


def check_languages(codes: tuple[str, ...], key: str, *, known: Collection[str]) -> None:
    """Check the language codes of one key.

    Raises:
        BadInput: a language is named twice, or is not among those that are known.
    """
    for code in codes:
        if code not in known:
            raise BadInput(
                f"{key}: unknown language {code!r}{did_you_mean(code, known=known)}; known are "
                f"{', '.join(sorted(known))}; data.language_files adds languages of your own",
                key=key,
            )
    if len(set(codes)) != len(codes):
        raise BadInput(f"{key} names a language twice: {', '.join(codes)}", key=key)


# --- where problems come from ----------------------------------------------------------------------------------------


class BuiltinSource(Section):
    """The built-in problems, which the program generates."""

    source: Literal["builtin"] = "builtin"
    """Where the problems come from."""
    levels: tuple[Level, ...] = Field(default=(1, 2, 3, 4), min_length=1)
    """Difficulty levels to draw from: number of arithmetic steps of a problem."""


class LogicSource(Section):
    """The built-in problems of logic, whose answers are clauses."""

    source: Literal["logic"]
    """Where the problems come from."""
    levels: tuple[LogicLevel, ...] = Field(default=(1, 2, 3), min_length=1)
    """Difficulty levels to draw from: number of deductions of a problem."""


class ProblemColumns(Section):
    """Names of the columns of a file or of a dataset of the hub, where they are others (data.md). `{language}` in a
    name stands for the code of a language: `question = "problem_{language}"` is a table with a column for each."""

    item_id: str = Field(default="item_id", min_length=1)
    """Column with the name of the item, the same in all languages. A table may lack it: then every row is an item."""
    language: str = Field(default="language", min_length=1)
    """Column with the language of the row, as a code, a tag or a name. A table may lack it: see `rows_language`."""
    question: str = Field(default="question", min_length=1)
    """Column with the question."""
    question_en: str = Field(default="question_en", min_length=1)
    """Column with the English question, which the pivot answers."""
    answer: str = Field(default="answer", min_length=1)
    """Column with the known answer. Only evaluation needs it."""
    translation: str = Field(default="translation", min_length=1)
    """Column with a worked solution in the row's language. Only SFT on translations needs it."""

    @property
    def by_meaning(self) -> dict[str, str]:
        """Return the names of the columns by what they hold."""
        return {name: str(getattr(self, name)) for name in type(self).model_fields}


class TableSource(Section):
    """A table with named columns."""

    columns: ProblemColumns = ProblemColumns()
    rows_language: str | Auto = "auto"
    """Language of all rows, where the table has no column that says it. "auto" is the language that is asked for, if it
    is one."""


class FileSource(TableSource):
    """A file with one problem a row."""

    source: Literal["jsonl", "json", "csv", "tsv", "parquet"]
    """Where the problems come from."""
    path: MayChange[str] = Field(min_length=1)
    """File with the problems. A run is continued only with the same problems."""
    header: tuple[str, ...] = ()
    """Names of the columns of a CSV or TSV file that has no line with them."""
    split: Literal["all", "train", "test"] = "all"
    """Which items of the file are read. "test" is about a fifth of them, chosen by `item_id`, and "train" the others:
    one file can be learned from and evaluated on without an item in both."""


class HubSource(TableSource):
    """A dataset of the Hugging Face hub, or a local folder in its form."""

    source: Literal["huggingface"]
    """Where the problems come from."""
    path: MayChange[str] = Field(min_length=1)
    """Name of the dataset, or a local folder. A run is continued only with the same problems."""
    subset: str | None = None
    """Name of the dataset's configuration. Left out: its default one."""
    revision: str | None = None
    """Branch, tag or commit of the dataset on the hub. Left out: the newest."""
    split: str = "train"
    """Name of the dataset's split."""


class MgsmSource(Section):
    """The MGSM benchmark's own files."""

    source: Literal["mgsm"]
    """Where the problems come from."""
    path: MayChange[str] = Field(min_length=1)
    """Folder of the TSV files. A run is continued only with the same problems."""


# --- [data] ----------------------------------------------------------------------------------------------------------


class TrainingData(Section):
    """The problems that are learned from."""

    languages: Languages = ("de", "fr", "es")
    """Languages to train on (ISO 639-1 codes), drawn in turn."""
    language_files: tuple[str, ...] = ()
    """Files of languages of your own, known beside the built-in ones (languages.md)."""
    on_bad_item: Literal["refuse", "skip"] = "refuse"
    """What to do with items that can't be used: an empty cell, or a prompt that leaves no room for a response. "refuse"
    names them before anything starts, "skip" leaves them out and says how many."""
    shares: tuple[float, ...] | Literal["equal"] = "equal"
    """Share of each of `languages` in what is learned from, in their order, e.g. [1, 2, 1]."""
    curriculum: Literal["off", "success_rate"] = "off"
    """"success_rate" mostly skips problems that were always or never solved when they were last drawn. Solved means
    the pivot's answer, not the gold answer."""
    curriculum_low: float = Field(default=0.05, ge=0, le=1)
    """A success rate below this counts as never solved."""
    curriculum_high: float = Field(default=0.95, ge=0, le=1)
    """A success rate above this counts as always solved."""
    curriculum_keep: float = Field(default=0.25, gt=0, le=1)
    """Share of such problems that is drawn all the same: a problem that is too hard now may not stay so."""

    @cached_property
    def own_languages(self) -> tuple[Language, ...]:
        """Return the languages of `language_files`, read once.

        Raises:
            BadInput: a file has a mistake.
        """
        try:
            return read_own_languages([absolute(file) for file in self.language_files])
        except LanguageFileError as error:
            raise BadInput(f"data.language_files: {error}", key="data.language_files") from None

    @model_validator(mode="after")
    def _files_and_shares_fit(self) -> Self:
        _ = self.own_languages  # a mistake in a language file is reported before an unknown language
        if self.shares != "equal" and (len(self.shares) != len(self.languages) or min(self.shares) <= 0):
            raise BadInput(
                f"data.shares has {len(self.shares)} numbers for {len(self.languages)} languages; it needs one above 0 "
                "for each",
                key="data.shares",
            )
        if self.curriculum_low > self.curriculum_high:
            raise BadInput(
                f"data.curriculum_low {self.curriculum_low:g} is above data.curriculum_high {self.curriculum_high:g}",
                key="data.curriculum_low",
            )
        return self


class BuiltinData(TrainingData, BuiltinSource):
    """Learn from the built-in problems."""

    split: Literal["train", "test"] = "train"
    """Split of the built-in problems; the two have no problem in common."""
    num_items: int = Field(default=2000, ge=1)
    """Number of items in the training set."""


class LogicData(TrainingData, LogicSource):
    """Learn from the built-in problems of logic."""

    split: Literal["train", "dev", "test"] = "train"
    """Split of the problems; no two have a problem in common."""
    num_items: int = Field(default=2000, ge=1)
    """Number of items in the training set."""


class FileData(TrainingData, FileSource):
    """Learn from a file."""


class HubData(TrainingData, HubSource):
    """Learn from a dataset of the Hugging Face hub."""


class MgsmData(TrainingData, MgsmSource):
    """Learn from MGSM's files."""


DataConfig: TypeAlias = Annotated[
    BuiltinData | LogicData | FileData | HubData | MgsmData, Choice("source", default="builtin")
]


# --- [evaluation] ----------------------------------------------------------------------------------------------------


class EvaluationData(Section):
    """What the policy is measured on: tasks by name, or the problems of one source."""

    tasks: tuple[str, ...] = ()
    """Tasks to measure, such as ["mgsm-rev2", "xcopa"] (evaluation.md); "xcopa:generate" names the method too, and a
    .toml file is a task of your own. Empty: the problems of `source`, whose answers must be numbers."""
    data_folder: str | None = None
    """Folder with a folder for each task, e.g. `mgsm-rev2/`. Left out: tasks come from the Hugging Face hub."""
    paths: Mapping[str, str] = Field(default_factory=dict)
    """Folder of single tasks, by name. It goes before `data_folder`."""
    languages: Languages | Auto | Literal["all"] = "auto"
    """Languages to evaluate in. "auto" is English and `data.languages`; of a task, those that are in its folder.
    "all" is every language of a task that is there."""
    num_items: int = Field(default=50, ge=1)
    """Items for each language, the first of the source."""
    on_bad_item: Literal["refuse", "skip"] = "refuse"
    """What to do with items of a file or dataset that can't be evaluated: an empty cell, or an answer that is no
    number. "refuse" names them before anything starts, "skip" leaves them out and says how many."""
    max_items: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    """Items of a task for each language and level, the first ones."""
    max_response_tokens: Annotated[int, Field(ge=1)] | Auto = "auto"
    """A longer response is cut off here, in tokens. "auto" is `policy.max_response_tokens`."""
    thinking_tokens: Annotated[int, Field(ge=1)] | Literal["free"] = "free"
    """Budget of a model that thinks before it answers, in tokens: thinking that is longer is closed, and the answer
    has `max_response_tokens` of its own. "free": thinking counts as part of the response."""
    shots: int = Field(default=0, ge=0)
    """Worked examples before a task's question, the first of the set's own."""
    shots_too_long: Literal["refuse", "fewer"] = "refuse"
    """What to do where worked examples don't fit into `policy.max_model_len`: refuse, or leave the last ones out."""
    samples: int = Field(default=1, ge=1)
    """Responses to each item. Several give their mean, pass@k and majority@k, and need a temperature."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of the evaluation; 0 is greedy."""
    before: MayChange[bool] = True
    """Evaluate before the first step."""
    after: MayChange[bool] = True
    """Evaluate after the last step."""
    every_steps: MayChange[Annotated[int, Field(ge=1)] | Off] = "off"
    """Evaluate each time so many steps are done, while training goes on."""

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise BadInput(
                f"evaluation.samples is {self.samples}, and at evaluation.temperature 0 they are all the same; raise "
                "the temperature, or ask for one sample",
                key="evaluation.samples",
            )
        return self

    @property
    def is_wanted(self) -> bool:
        """Return whether a run evaluates at any time."""
        return self.before or self.after or self.every_steps != "off"


class BuiltinEvaluation(EvaluationData, BuiltinSource):
    """Evaluate on the built-in problems."""

    split: Literal["train", "test"] = "test"
    """Split of the built-in problems; the two have no problem in common."""


class FileEvaluation(EvaluationData, FileSource):
    """Evaluate on a file."""

    path: str = Field(min_length=1)
    """File with the problems."""


class HubEvaluation(EvaluationData, HubSource):
    """Evaluate on a dataset of the Hugging Face hub."""

    path: str = Field(min_length=1)
    """Name of the dataset, or a local folder."""
    split: str = "test"
    """Name of the dataset's split."""


class MgsmEvaluation(EvaluationData, MgsmSource):
    """Evaluate on MGSM's files."""

    path: str = Field(min_length=1)
    """Folder of the TSV files."""


EvaluationConfig: TypeAlias = Annotated[
    BuiltinEvaluation | FileEvaluation | HubEvaluation | MgsmEvaluation, Choice("source", default="builtin")
]


# --- [prompt], [translate], [audit] -----------------------------------------------------------------------------------


class Exemplar(Section):
    """A worked example of the user's own."""

    question: str = Field(min_length=1)
    """A problem, without prefix and instruction."""
    solution: str = Field(min_length=1)
    """Its solution, as a response should be written, with the answer declared."""


class PromptConfig(Section):
    """How a question is asked: the system message, worked examples, and the words around the question."""

    num_exemplars: int = Field(default=0, ge=0, le=8)
    """Worked examples before the policy's question, in its language: those of `exemplars`, else from the built-in
    problems; never a test item."""
    exemplars: Mapping[str, tuple[Exemplar, ...]] = Field(default_factory=dict)
    """Worked examples of your own by language, each with `question` and `solution` (data.md)."""
    instructions: Mapping[str, str] = Field(default_factory=dict)
    """Instruction after the question by language, in place of the language file's; "en" is also the pivot's."""
    question_prefixes: Mapping[str, str] = Field(default_factory=dict)
    """Text before the question by language, in place of the language file's; may be empty."""
    closing: Literal["language", "boxed"] = "language"
    """How an answer is asked for: in the closing sentence of the language file, or in `\\boxed{}`. An instruction of
    your own says it in its own words."""
    system: str | None = None
    """System message for policy and pivot, sent as it is. Left out: no system message."""


class TranslateConfig(Section):
    """What `translate` makes of the problems of `[data]`: English questions, or questions in other languages."""

    into: Languages = ("en",)
    """Languages to translate into. ["en"] gives each item of `data.languages` its English question. Others get
    questions that are translated from the English ones."""
    translator: Literal["seq2seq", "pivot"] = "seq2seq"
    """What translates: the model of `[translator]`, or the pivot's engine."""


class AuditConfig(Section):
    """What the reward itself is measured on: faithful solutions against ways to cheat, or a model's real outputs."""

    source: str = "builtin"
    """"builtin", "logic", or a file of parallel solutions (rewards.md, "Parallel texts")."""
    outputs: str | None = None
    """A .jsonl file of what a model really wrote (rewards.md, "Real outputs"). All of it is measured, instead of
    `source`."""
    languages: Languages | Literal["all"] = "all"
    """Languages to measure. "all" is every language that the source has."""
    num_items: int = Field(default=40, ge=2)
    """Items for each language, the first of `source`."""
    ablation: bool = False
    """Measure again with every component and gate switched off, one at a time."""

    @model_validator(mode="after")
    def _outputs_have_no_ablation(self) -> Self:
        if self.outputs is not None and self.ablation:
            raise BadInput(
                "audit.ablation is for audit.source; with audit.outputs every gate is counted by itself already, so "
                "leave one of the two out",
                key="audit.ablation",
            )
        return self
