"""`audit`: measure the reward itself: how often does a faithful solution earn more than each way to cheat?

Starts scorers only; with audit.ablation once more for everything that can be switched off, each time with scorers of
its own.
"""

import argparse
import asyncio
import time
from dataclasses import replace

from rich.console import Console as Terminal

from cluster.launch import collect_logs, connected, placed
from cluster.layout import Layout, check_fits, choose_device, layout
from cluster.team import Team
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import RunFailed
from driver.audit.ablation import contribution, variants
from driver.audit.inputs import prepare_audit
from driver.audit.measure import AuditPlan, audit
from driver.audit.result import AuditResult, Contribution, write_audit
from driver.audit.table import as_tables, headline, unscored_line
from driver.calibration import calibration_for
from driver.config_paths import with_absolute_paths
from driver.inputs import licence_notes, prepare_reward
from driver.report.write import write_report
from driver.tracking.console import Console
from driver.tracking.logs import quiet_logs
from driver.tracking.run_folder import RunFolder, check_new, create, run_name
from rewards.compose import combination


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Audit; the summary of what was found.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: a scorer could not load its models, none is left alive, or nothing was scored.
    """
    started = time.monotonic()
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides), models=("scorer",))
    path = check_new(config, config.run.name or f"audit-{run_name(config, arguments.config)}")
    terminal = Terminal(stderr=arguments.json)
    with Console(terminal) as console:
        with console.phase("checking data and building cheats"):
            plan = prepare_audit(config)
            custom_source = prepare_reward(config, plan.languages)
        for note in licence_notes(config):
            console.note(note)
        with connected(config.cluster, console) as cluster:
            wanted = layout(config, choose_device(config, cluster), roles=("scorer",))
            check_fits(wanted, cluster)
            folder = create(path, config)
            quiet_logs(folder.logs / "driver.log")
            auditor = _Auditor(plan, wanted, custom_source=custom_source, folder=folder, console=console)
            result = auditor.whole(config)
    write_audit(folder.path, result)
    for shown in as_tables(result):
        terminal.print(shown)
    summary = _summary(result) | {
        "run_folder": str(folder.path),
        "report": str(folder.path / "report.html"),
        "seconds": round(time.monotonic() - started, 1),
    }
    folder.write_summary(summary)
    report = write_report(folder.path)
    terminal.print(f"report: {report}", soft_wrap=True)
    if result.lowest_win_rate is None:
        raise RunFailed(f"no response could be compared with its cheats; {unscored_line(result)} See {report}")
    return summary


class _Auditor:
    """One plan, measured with scorers of this config or that."""

    def __init__(
        self, plan: AuditPlan, wanted: Layout, *, custom_source: str, folder: RunFolder, console: Console
    ) -> None:
        self._plan = plan
        self._wanted = wanted
        self._custom_source = custom_source
        self._folder = folder
        self._console = console

    def whole(self, config: Config) -> AuditResult:
        """The audit, and in an ablation what each thing contributes."""
        result = self._measured(config)
        if not config.audit.ablation:
            return result
        write_audit(self._folder.path, result)  # what follows takes many times as long
        found: list[Contribution] = []
        for number, variant in enumerate(lacking := variants(config), start=1):
            self._console.note(f"ablation {number} of {len(lacking)}: without {variant.switched_off}")
            found.append(contribution(variant.switched_off, self._measured(variant.config)))
        return replace(result, contributions=tuple(found))

    def _measured(self, config: Config) -> AuditResult:
        """By scorers that know this config and are gone afterwards."""
        with placed(self._wanted, config.cluster, self._console.waiting) as bundles:
            team = Team(config, bundles, self._console)
            try:
                return asyncio.run(self._measure(config, team))
            finally:
                collect_logs(team.processes, self._folder.logs)

    async def _measure(self, config: Config, team: Team) -> AuditResult:
        plan, console = self._plan, self._console
        await team.start_scorers(plan.languages, custom_source=self._custom_source)
        calibration = await calibration_for(
            config.reward.reasoning, team.scorer, languages=plan.languages, console=console
        )
        if calibration is not None:
            await team.scorer.use_calibration(calibration)
        with console.phase("auditing", total=plan.num_requests) as done:
            return await audit(team.scorer, plan, measured_on=measured_on(config), on_progress=done)


def measured_on(config: Config) -> dict[str, str]:
    """What makes two audits comparable."""
    reward = config.reward
    weights = {part: value for part, value in combination(reward).weights(0).items() if value}  # as requests ask for
    return {
        "source": config.audit.source,
        "items": str(config.audit.num_items),
        "seed": str(config.run.seed),
        "judge": reward.reasoning.judge,
        "encoder": config.scorer.model,
        "calibration": f"{reward.reasoning.calibration} on {reward.reasoning.calibration_data}",
        "weights": ", ".join(f"{part} {value:g}" for part, value in weights.items()),
        "combine": reward.combine,
        "scorers": str(config.scorer.num_workers),
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
