"""`audit`: measure the reward itself: how often does a faithful solution earn more than each way to cheat?

With audit.outputs it measures what the reward makes of a model's real outputs instead (audit_outputs.py).
Starts scorers only; with audit.ablation once more for everything that can be switched off, each time with new scorers.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.layout import Layout
from cluster.team import Team
from contracts.config.run import Config
from contracts.errors import RunFailed
from driver.audit.ablation import contribution, variants
from driver.audit.measure import audit
from driver.audit.plan import AuditPlan, prepare_audit
from driver.audit.result import AuditResult, Contribution, write_audit
from driver.audit.table import as_tables, headline, unscored_line
from driver.calibration import calibration_for
from driver.commands.audit_outputs import audit_real_outputs, reward_settings
from driver.commands.new_run import NewRun, new_run, print_licence_notes
from driver.inputs import prepare_reward
from driver.report.write import write_report


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Audit the reward, and return the summary of what was found.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: a scorer could not load its models, none is left alive, or nothing was scored.
    """
    with new_run(arguments, "audit", role="scorer") as command:
        if command.config.audit.outputs is not None:
            return audit_real_outputs(command, Path(command.config.audit.outputs))
        with command.console.phase("checking data and building cheats"):
            plan = prepare_audit(command.config)
            custom_source = prepare_reward(command.config, plan.languages)
        print_licence_notes(command.config, command.console)
        with command.cluster() as layout:
            auditor = _Auditor(command=command, layout=layout, plan=plan, custom_source=custom_source)
            result = auditor.measure(command.config)
            write_audit(command.folder.path, result)  # an ablation takes many times as long
            if command.config.audit.ablation:
                result = replace(result, contributions=auditor.ablation())
                write_audit(command.folder.path, result)
    for table in as_tables(result):
        command.terminal.print(table)
    page = command.path / "report.html"
    summary = command.finish(_summary(result) | {"report": str(page)})
    write_report(command.path)
    command.terminal.print(f"report: {page}", soft_wrap=True)
    if result.lowest_win_rate is None:
        raise RunFailed(
            f"no response could be compared with its cheats: {unscored_line(result)} See {page}", key="scorer"
        )
    return summary


@dataclass(frozen=True, kw_only=True)
class _Auditor:
    """Measure one plan, each time with new scorers that have the given config."""

    command: NewRun
    layout: Layout
    plan: AuditPlan
    custom_source: str

    def measure(self, config: Config) -> AuditResult:
        """Return the audit of a config's reward."""

        async def on_team(team: Team) -> AuditResult:
            plan, console = self.plan, self.command.console
            await team.start_scorers(plan.languages, custom_source=self.custom_source)
            calibration = await calibration_for(
                config.reward.reasoning, team.scorer, languages=plan.languages, console=console
            )
            if calibration is not None:
                await team.scorer.use_calibration(calibration)
            with console.phase("auditing", total=plan.num_requests) as done:
                return await audit(team.scorer, plan, measured_on=measured_on(config), on_progress=done)

        return self.command.on_team(self.layout, on_team, config=config)

    def ablation(self) -> tuple[Contribution, ...]:
        """Return what each part and gate, and the calibration, contributes."""
        found: list[Contribution] = []
        for number, variant in enumerate(lacking := variants(self.command.config), start=1):
            self.command.console.note(f"ablation {number} of {len(lacking)}: without {variant.switched_off}")
            found.append(contribution(variant.switched_off, self.measure(variant.config)))
        return tuple(found)


def measured_on(config: Config) -> dict[str, str]:
    """Return the settings that two audits must share to be comparable."""
    return {
        "source": config.audit.source,
        "items": str(config.audit.num_items),
        "seed": str(config.run.seed),
        **reward_settings(config),
    }


def _summary(result: AuditResult) -> dict[str, object]:
    return {
        "headline": headline(result),
        "lowest_win_rate": result.lowest_win_rate,
        "mean_win_rate": result.mean_win_rate,
        "largest_difference": result.largest_difference,
        "num_samples": result.num_samples,
        "languages": {
            cell.language: {
                "num_items": cell.num_items,
                "reward": cell.mean_reward,
                "rank_correlation": cell.rank_correlation.get("reward"),
                "group_spread": cell.group_spread,
                "ms_per_sample": round(cell.ms_per_sample, 2),
                "win_rates": {
                    found.cheat: found.win_rate for found in result.cheats if found.language == cell.language
                },
                "rejections": {
                    f"{found.gate}/{found.texts}": found.rejection_rate
                    for found in result.gates
                    if found.language == cell.language
                },
            }
            for cell in result.languages
        },
    }
