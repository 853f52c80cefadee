"""Define what an audit of a model's outputs finds, and its file, outputs_audit.json.

Outputs are counted by source (the model that wrote them) and language. A faithful output is one that is right and in
the asked language. Shares are in [0, 1]; a share of nothing is None.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.files import write_whole

VERSION = 1
OUTPUTS_FILE = "outputs_audit.json"
"""Name of the result in the run folder."""
SCORES_FILE = "outputs_scores.jsonl"
"""Name of the file beside it with what every output got."""
ALL_SOURCES = "all sources"
WANTED_REJECTION = 0.03
"""Largest wanted share of faithful outputs that any gate shuts out."""
WANTED_ACCEPTANCE = 0.002
"""Largest wanted share of outputs in another language that the language gate lets through."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputCell:
    """Hold the counts of one source in one language."""

    source: str
    language: str
    num_outputs: int
    unscored: Mapping[str, int]  # by reason; these outputs are in no count below but those of extraction
    mean_reward: float | None
    num_undeclared: int  # outputs of all kinds that declare no final answer
    shut: Mapping[str, int]  # scored outputs that each gate shuts
    num_shut: int  # scored outputs that any gate shuts
    num_with_gold: int  # faithful outputs with a gold answer
    num_extracted: int  # of those: the declared answer is gold
    num_faithful: int  # scored
    rejected: Mapping[str, int]  # faithful outputs that each gate shuts
    num_rejected: int  # faithful outputs that any gate shuts
    num_elsewhere: int  # scored outputs in another language
    num_accepted: int  # of those: the language gate is open
    num_wrong: int  # scored outputs that are wrong
    num_wrong_paid: int  # of those: all gates are open, and the answer counts as the pivot's

    @property
    def num_scored(self) -> int:
        """Return the number of outputs that were scored."""
        return self.num_outputs - sum(self.unscored.values())

    @property
    def shut_rate(self) -> float | None:
        """Return the share of scored outputs that any gate shuts."""
        return _share(self.num_shut, self.num_scored)

    @property
    def extraction_rate(self) -> float | None:
        """Return the share of faithful outputs whose declared answer is gold."""
        return _share(self.num_extracted, self.num_with_gold)

    @property
    def rejection_rate(self) -> float | None:
        """Return the share of faithful outputs that any gate shuts: the false rejections."""
        return _share(self.num_rejected, self.num_faithful)

    def rejection_rate_of(self, gate: str) -> float | None:
        """Return the share of faithful outputs that one gate shuts."""
        return _share(self.rejected.get(gate, 0), self.num_faithful)

    @property
    def acceptance_rate(self) -> float | None:
        """Return the share of outputs in another language that the language gate lets through."""
        return _share(self.num_accepted, self.num_elsewhere)

    @property
    def wrong_paid_rate(self) -> float | None:
        """Return the share of wrong outputs that are paid for their answer."""
        return _share(self.num_wrong_paid, self.num_wrong)


@dataclass(frozen=True, kw_only=True, slots=True)
class RankCell:
    """Hold how well one measure ranks right outputs over wrong ones to the same question."""

    language: str
    source: str  # or ALL_SOURCES: pairs over sources too
    outputs: str  # "all", or "open": those that no gate shuts
    measure: str  # "reward", a part, or "without answer": the reward less what the part answer adds
    num_pairs: int
    auc: float  # share of pairs in which the right output has more; equal ones count half


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputExample:
    """Hold one output that was judged wrongly, for people to read."""

    source: str
    language: str
    item: str
    mistake: str  # "rejected by <gate>", "another language accepted", "wrong answer paid", "answer not extracted"
    response: str
    answer: str | None  # that was extracted
    gold: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputAudit:
    """Hold one audit of one reward on outputs."""

    cells: tuple[OutputCell, ...]  # sources in the file's order, in each the languages in theirs
    ranks: tuple[RankCell, ...]
    examples: tuple[OutputExample, ...]
    gates: tuple[str, ...]
    measured_on: Mapping[str, str]

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources."""
        return tuple(dict.fromkeys(cell.source for cell in self.cells))

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the language codes."""
        return tuple(sorted({cell.language for cell in self.cells}))

    @property
    def num_outputs(self) -> int:
        """Return the number of outputs."""
        return sum(cell.num_outputs for cell in self.cells)

    def cell(self, source: str, language: str) -> OutputCell | None:
        """Return the cell of a source and a language; None where the source has no such outputs."""
        return next((cell for cell in self.cells if (cell.source, cell.language) == (source, language)), None)

    def auc(self, measure: str, *, outputs: str, source: str = ALL_SOURCES) -> dict[str, float]:
        """Return by language how well a measure ranks; languages without a pair are absent."""
        return {
            cell.language: cell.auc
            for cell in self.ranks
            if (cell.measure, cell.outputs, cell.source) == (measure, outputs, source)
        }

    def to_json(self) -> str:
        """Return the result as JSON, with its rates, which `from_json` computes again."""
        record: dict[str, object] = {"version": VERSION, **asdict(self)}
        record["cells"] = [{**asdict(cell), "rates": _rates(cell)} for cell in self.cells]
        return json.dumps(record, ensure_ascii=False, indent=1)

    @staticmethod
    def from_json(text: str) -> "OutputAudit":
        """Return the result that a JSON text holds.

        Raises:
            ValueError: the text is no JSON, or of another version of the file.
            KeyError, TypeError: the text is damaged.
        """
        record = json.loads(text)
        if record["version"] != VERSION:
            raise ValueError(
                f"version {record['version']}, but this project reads version {VERSION}; run the audit again"
            )
        cells = [{name: value for name, value in cell.items() if name != "rates"} for cell in record["cells"]]
        return OutputAudit(
            cells=tuple(OutputCell(**cell) for cell in cells),
            ranks=tuple(RankCell(**cell) for cell in record["ranks"]),
            examples=tuple(OutputExample(**example) for example in record["examples"]),
            gates=tuple(record["gates"]),
            measured_on=record["measured_on"],
        )


def _rates(cell: OutputCell) -> dict[str, float | None]:
    return {
        "shut": cell.shut_rate,
        "extraction": cell.extraction_rate,
        "rejection": cell.rejection_rate,
        "acceptance": cell.acceptance_rate,
        "wrong_paid": cell.wrong_paid_rate,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def write_outputs_audit(folder: Path, result: OutputAudit) -> Path:
    """Write outputs_audit.json into the folder, whole or not at all, and return its path."""
    path = folder / OUTPUTS_FILE
    write_whole(path, result.to_json() + "\n")
    return path


def read_outputs_audit(path: Path) -> OutputAudit:
    """Read outputs_audit.json.

    Raises:
        OSError: the file can't be read.
        ValueError, KeyError, TypeError: as in `OutputAudit.from_json`.
    """
    return OutputAudit.from_json(path.read_text(encoding="utf-8"))
