"""Collect what report.html shows of a reward audit beside the audit's own numbers."""

from dataclasses import dataclass

from driver.audit.ablation import contribution
from driver.audit.cheats import CHEATS
from driver.audit.result import QUESTIONS, AuditResult
from driver.audit.table import earning_more_text, headline, held_back_text, unscored_line
from driver.report.figures import heat_map


@dataclass(frozen=True, kw_only=True, slots=True)
class CheatRow:
    """Hold one cheat over all languages."""

    name: str
    imitates: str
    num_groups: int
    num_left_out: int
    num_unscored: int
    mean_reward: float | None
    shut_by: str  # e.g. "language 98%, format 3%": a response may be shut by several gates


def audit_facts(audit: AuditResult) -> dict[str, object]:
    """Return what the audit's template is filled in with."""
    gate_kinds = dict.fromkeys((cell.gate, cell.texts) for cell in audit.gates)
    contributions = [contribution("(nothing)", audit), *audit.contributions]
    return {
        "audit": audit,
        "headline": headline(audit),
        "unscored": unscored_line(audit) if audit.unscored else "",
        "wins_picture": heat_map(
            [[audit.cell(code, name).win_rate for code in audit.codes] for name in audit.cheat_names],
            rows=audit.cheat_names,
            columns=audit.codes,
            alt="share of groups in which faithful text earns more than the cheat, by cheat and language",
        ),
        "cheats": [_cheat_row(audit, name) for name in audit.cheat_names],
        "parts": list(dict.fromkeys(part for cell in audit.languages for part in cell.mean_parts)),
        "gate_kinds": sorted(gate_kinds, key=lambda kind: kind[1] == QUESTIONS),
        "gate_cells": {(cell.gate, cell.texts, cell.language): cell for cell in audit.gates},
        "contributions": [
            (found, held_back_text(audit, found), earning_more_text(audit, found)) for found in contributions
        ],
    }


def _cheat_row(audit: AuditResult, name: str) -> CheatRow:
    cells = [audit.cell(code, name) for code in audit.codes]
    num_groups = sum(cell.num_groups for cell in cells)
    rewards = sum((cell.mean_reward or 0.0) * cell.num_groups for cell in cells)
    shut: dict[str, float] = {}
    for cell in cells:
        for gate, share in cell.shut_by.items():
            shut[gate] = shut.get(gate, 0.0) + share * cell.num_groups / num_groups
    by_share = sorted(shut.items(), key=lambda found: -found[1])
    return CheatRow(
        name=name,
        imitates=next((cheat.imitates for cheat in CHEATS if cheat.name == name), ""),
        num_groups=num_groups,
        num_left_out=sum(cell.num_left_out for cell in cells),
        num_unscored=sum(cell.num_unscored for cell in cells),
        mean_reward=rewards / num_groups if num_groups else None,
        shut_by=", ".join(f"{gate} {share:.0%}" for gate, share in by_share) or "none",
    )
