"""Define the result of an audit and its file, audit.json: one cell per language and cheat, and all other counts.

Shares are in [0, 1]; a share of nothing is None.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from contracts.files import write_whole

VERSION = 1
AUDIT_FILE = "audit.json"
"""Name of the result in the run folder."""
WANTED_WIN_RATE = 0.99
WANTED_REJECTION = 0.01
WANTED_DIFFERENCE = 0.02
"""Largest wanted difference between two languages in the mean reward of faithful text."""

SOLUTIONS, QUESTIONS = "solutions", "questions"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheatCell:
    """Hold one cheat in one language."""

    language: str
    cheat: str
    num_groups: int  # in which the cheat was made and both it and the faithful response were scored
    num_won: int  # of those: the faithful reward is strictly above the cheat's
    num_left_out: int  # the cheat could not be made
    num_unscored: int  # it was made, but it or the faithful response was not scored
    mean_reward: float | None  # of the cheat
    mean_parts: Mapping[str, float]
    shut_by: Mapping[str, float]  # share of the cheat's responses that each gate shut; gates that shut none are absent

    @property
    def win_rate(self) -> float | None:
        """Return the share of groups in which the faithful response earns strictly more."""
        return self.num_won / self.num_groups if self.num_groups else None


@dataclass(frozen=True, kw_only=True, slots=True)
class GateCell:
    """Hold one gate on faithful text of one language."""

    language: str
    gate: str
    texts: str  # SOLUTIONS or QUESTIONS
    num_texts: int  # scored
    num_rejected: int

    @property
    def rejection_rate(self) -> float | None:
        """Return the share of texts that the gate rejects."""
        return self.num_rejected / self.num_texts if self.num_texts else None

    @property
    def is_missed(self) -> bool:
        """Return whether the gate rejects more faithful text than wanted."""
        return self.rejection_rate is not None and self.rejection_rate > WANTED_REJECTION


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageCell:
    """Hold what is known of one language beside its cheats."""

    language: str
    num_items: int
    num_unscored: int  # faithful responses
    mean_reward: float | None  # of faithful responses
    std_reward: float | None
    mean_parts: Mapping[str, float]
    std_parts: Mapping[str, float]
    group_spread: float | None  # mean over groups of the standard deviation of the rewards inside
    rank_correlation: Mapping[str, float]  # "reward" and parts with the number of corrupted numbers; -1 is best
    num_series: int  # items that the rank correlation is a mean of
    ms_per_sample: float  # wall-clock time of all scorers together, per response of the groups


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """Hold a response and what it earned, for people to read."""

    text: str
    reward: float
    parts: Mapping[str, float]
    shut: tuple[str, ...]  # gates


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Hold the worst case of a language and cheat: where the cheat came closest to its faithful response, or won."""

    language: str
    cheat: str
    item_id: str
    question: str
    faithful: Response
    cheating: Response

    @property
    def margin(self) -> float:
        """Return the faithful reward less the cheat's; 0 or below means that the cheat was not beaten."""
        return self.faithful.reward - self.cheating.reward


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """Hold the audit with one thing switched off, in a few numbers."""

    switched_off: str  # e.g. "gate language", "part numbers", "calibration"
    lowest_win_rate: float | None  # over the cells
    mean_win_rate: float | None
    largest_difference: float | None  # between languages, of the faithful reward
    by_cheat: Mapping[str, float]  # faithful text's mean win rate over the languages
    cheat_rewards: Mapping[str, float]  # mean reward of each cheat over the languages


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """Hold one audit of one reward."""

    cheats: tuple[CheatCell, ...]
    gates: tuple[GateCell, ...]
    languages: tuple[LanguageCell, ...]
    cases: tuple[Case, ...]  # the smallest margins first
    num_samples: int
    seconds: float
    measured_on: Mapping[str, str] = field(default_factory=dict)  # source, items, encoder, ...
    contributions: tuple[Contribution, ...] = ()  # of an ablation
    unscored: Mapping[str, int] = field(default_factory=dict)  # responses that were not scored, by reason

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the audited language codes."""
        return tuple(cell.language for cell in self.languages)

    @property
    def cheat_names(self) -> tuple[str, ...]:
        """Return the names of all cheats."""
        return tuple(dict.fromkeys(cell.cheat for cell in self.cheats))

    def cell(self, language: str, cheat: str) -> CheatCell:
        """Return the cell of a language and a cheat."""
        return next(cell for cell in self.cheats if (cell.language, cell.cheat) == (language, cheat))

    @property
    def lowest_win_rate(self) -> float | None:
        """Return the lowest win rate over the cells."""
        return min(self._win_rates(), default=None)

    @property
    def mean_win_rate(self) -> float | None:
        """Return the mean win rate over the cells."""
        rates = self._win_rates()
        return fmean(rates) if rates else None

    @property
    def by_cheat(self) -> dict[str, float]:
        """Return for each cheat the mean win rate over the languages."""
        rates = {
            name: [cell.win_rate for cell in self.cheats if cell.cheat == name and cell.win_rate is not None]
            for name in self.cheat_names
        }
        return {name: fmean(found) for name, found in rates.items() if found}

    @property
    def cheat_rewards(self) -> dict[str, float]:
        """Return for each cheat its mean reward over the languages."""
        rewards = {
            name: [cell.mean_reward for cell in self.cheats if cell.cheat == name and cell.mean_reward is not None]
            for name in self.cheat_names
        }
        return {name: fmean(found) for name, found in rewards.items() if found}

    @property
    def largest_difference(self) -> float | None:
        """Return the largest difference between the mean faithful rewards of two languages."""
        means = [cell.mean_reward for cell in self.languages if cell.mean_reward is not None]
        return max(means) - min(means) if means else None

    def missed_cheats(self) -> list[CheatCell]:
        """Return the cells below the wanted win rate, the lowest first."""
        missed = [cell for cell in self.cheats if cell.win_rate is not None and cell.win_rate < WANTED_WIN_RATE]
        return sorted(missed, key=lambda cell: cell.num_won / cell.num_groups)

    def missed_gates(self) -> list[GateCell]:
        """Return the gates that reject more faithful text than wanted, the strictest first."""
        missed = [cell for cell in self.gates if cell.is_missed]
        return sorted(missed, key=lambda cell: -cell.num_rejected / cell.num_texts)

    def _win_rates(self) -> list[float]:
        return [cell.win_rate for cell in self.cheats if cell.win_rate is not None]

    def to_json(self) -> str:
        """Return the result as JSON, with its rates, which `from_json` computes again."""
        record: dict[str, object] = {"version": VERSION, **asdict(self)}
        record["cheats"] = [{**asdict(cell), "win_rate": cell.win_rate} for cell in self.cheats]
        record["gates"] = [{**asdict(cell), "rejection_rate": cell.rejection_rate} for cell in self.gates]
        return json.dumps(record, ensure_ascii=False, indent=1)

    @staticmethod
    def from_json(text: str) -> "AuditResult":
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
        return AuditResult(
            cheats=tuple(CheatCell(**_without(cell, "win_rate")) for cell in record["cheats"]),
            gates=tuple(GateCell(**_without(cell, "rejection_rate")) for cell in record["gates"]),
            languages=tuple(LanguageCell(**cell) for cell in record["languages"]),
            cases=tuple(_case(case) for case in record["cases"]),
            num_samples=record["num_samples"],
            seconds=record["seconds"],
            measured_on=record["measured_on"],
            contributions=tuple(Contribution(**found) for found in record["contributions"]),
            unscored=record["unscored"],
        )


def write_audit(folder: Path, result: AuditResult) -> Path:
    """Write audit.json into the folder, whole or not at all, and return its path."""
    path = folder / AUDIT_FILE
    write_whole(path, result.to_json() + "\n")
    return path


def read_audit(path: Path) -> AuditResult:
    """Read audit.json.

    Raises:
        OSError: the file can't be read.
        ValueError, KeyError, TypeError: as in `AuditResult.from_json`.
    """
    return AuditResult.from_json(path.read_text(encoding="utf-8"))


def _without(record: Mapping, key: str) -> dict:
    return {name: value for name, value in record.items() if name != key}


def _case(record: Mapping) -> Case:
    responses = {
        name: Response(**{**record[name], "shut": tuple(record[name]["shut"])}) for name in ("faithful", "cheating")
    }
    return Case(**{**record, **responses})
