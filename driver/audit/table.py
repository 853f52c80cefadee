"""Print an audit: cheats by languages, faithful rewards, what the gates reject, the ablation and the verdict."""

from collections.abc import Iterable

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from driver.audit.ablation import earning_more, held_back
from driver.audit.result import (
    QUESTIONS,
    WANTED_DIFFERENCE,
    WANTED_WIN_RATE,
    AuditResult,
    CheatCell,
    Contribution,
    GateCell,
    LanguageCell,
)
from driver.names import NOT_MEASURED, fixed, strict_percent

MARK = "!"
"""Mark before a number that is worse than wanted: it is visible without colours too."""


def as_tables(result: AuditResult) -> list[RenderableType]:
    """Return everything that the command prints."""
    shown: list[RenderableType] = [
        Text("Groups in which the faithful response earns more than the cheat, in % (! below 99)", style="bold"),
        wins_table(result),
        Text("Faithful text", style="bold"),
        languages_table(result.languages),
        Text(gates_line(result)),
        *([Text(unscored_line(result))] if result.unscored else []),
    ]
    if result.contributions:
        shown += [Text("With one thing switched off", style="bold"), contributions_table(result)]
    return [*shown, Text(headline(result))]


def wins_table(result: AuditResult) -> Table:
    """Return one row per cheat and one column per language: how often faithful text wins, in percent."""
    table = Table("cheat", *result.codes, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in result.cheat_names:
        table.add_row(name, *(_win(result.cell(code, name)) for code in result.codes))
    return table


def languages_table(languages: Iterable[LanguageCell]) -> Table:
    """Return one row per language; "rank": Spearman's correlation of the reward with the number of corruptions."""
    found = list(languages)
    parts = list(dict.fromkeys(part for cell in found for part in cell.mean_parts))
    table = Table("", "items", "reward", *parts, "spread", "rank", "ms", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for cell in found:
        unscored = f" ({cell.num_unscored} unscored)" if cell.num_unscored else ""
        table.add_row(
            cell.language,
            f"{cell.num_items}{unscored}",
            _with_spread(cell.mean_reward, cell.std_reward),
            *(fixed(cell.mean_parts.get(part)) for part in parts),
            fixed(cell.group_spread),
            fixed(cell.rank_correlation.get("reward")),
            f"{cell.ms_per_sample:.1f}",
        )
    return table


def contributions_table(result: AuditResult) -> Table:
    """Return one row per thing that was switched off."""
    table = Table(
        "without", "lowest", "mean", "differ", "cheats that win more", "and that earn more", box=box.SIMPLE_HEAD
    )
    whole = [
        strict_percent(result.lowest_win_rate),
        strict_percent(result.mean_win_rate),
        fixed(result.largest_difference),
    ]
    table.add_row("(nothing)", *whole, "", "")
    for lacking in result.contributions:
        table.add_row(
            lacking.switched_off,
            strict_percent(lacking.lowest_win_rate),
            strict_percent(lacking.mean_win_rate),
            fixed(lacking.largest_difference),
            held_back_text(result, lacking),
            earning_more_text(result, lacking),
        )
    return table


def held_back_text(result: AuditResult, lacking: Contribution) -> str:
    """Return the lost points of win rate by cheat, e.g. "english -98.0, code-mixing -41.5"."""
    losses = held_back(result, lacking)
    return ", ".join(f"{cheat} -{100 * loss:.1f}" for cheat, loss in losses.items()) or "none"


def gates_line(result: AuditResult) -> str:
    """Return which gates reject faithful text, and in which languages."""
    if not any(cell.num_texts for cell in result.gates):
        return "No gate was measured on any faithful text."
    rejecting = [cell for cell in result.gates if cell.num_rejected]
    if not rejecting:
        return "No gate rejects any faithful text."
    return "Gates that reject faithful text: " + "; ".join(_rejection(cell) for cell in rejecting) + "."


def earning_more_text(result: AuditResult, lacking: Contribution) -> str:
    """Return the gain in mean reward by cheat, e.g. "repeated solution +0.31"."""
    gains = earning_more(result, lacking)
    return ", ".join(f"{cheat} +{gain:.2f}" for cheat, gain in gains.items()) or "none"


def unscored_line(result: AuditResult) -> str:
    """Return how many responses were not scored, by reason."""
    reasons = "; ".join(f"{reason}: {count}" for reason, count in result.unscored.items())
    return f"Responses that were not scored, of {result.num_samples}: {reasons}."


def headline(result: AuditResult) -> str:
    """Return the verdict in a sentence or two."""
    num_cells = sum(cell.win_rate is not None for cell in result.cheats)
    if not num_cells:
        return "Nothing could be compared: no response has a score."
    missed = result.missed_cheats()
    wins = f"faithful text wins at least {WANTED_WIN_RATE:.0%} in {num_cells - len(missed)} of {num_cells} cells"
    lowest = (
        f" (lowest {strict_percent(missed[0].win_rate)}%: {missed[0].cheat}, {missed[0].language})" if missed else ""
    )
    gates = result.missed_gates()
    rejections = f"gates reject over 1% of it in {len(gates)} places" if gates else "no gate rejects over 1% of it"
    difference = result.largest_difference or 0.0
    far = "" if difference <= WANTED_DIFFERENCE else f", more than {WANTED_DIFFERENCE:g}"
    return f"Verdict: {wins}{lowest}; {rejections}; its mean reward differs by {difference:.3f} between languages{far}."


def _win(cell: CheatCell) -> Text:
    rate = cell.win_rate
    if rate is None:
        return Text(NOT_MEASURED)
    return (
        Text(strict_percent(rate))
        if rate >= WANTED_WIN_RATE
        else Text(f"{MARK}{strict_percent(rate)}", style="bold red")
    )


def _rejection(cell: GateCell) -> str:
    what = " on questions" if cell.texts == QUESTIONS else ""
    return f"{cell.gate}{what} {cell.language} {cell.num_rejected} of {cell.num_texts}"


def _with_spread(mean: float | None, spread: float | None) -> str:
    return fixed(mean) if mean is None else f"{fixed(mean)} ±{fixed(spread)}"
