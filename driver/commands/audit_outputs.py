"""Run the part of `audit` that measures a model's real outputs (audit.outputs); it starts scorers only."""

from pathlib import Path

from cluster.team import Team
from contracts.config.reward import CalibratedReasoning, ReasoningConfig
from contracts.config.run import Config
from driver.audit.outputs.measure import Judged, count_outputs, judge_outputs, write_scores
from driver.audit.outputs.read import read_outputs, requests_of
from driver.audit.outputs.result import SCORES_FILE, write_outputs_audit
from driver.audit.outputs.table import as_tables, verdict_lines
from driver.calibration import calibration_for
from driver.commands.new_run import NewRun, print_licence_notes
from driver.inputs import check_scorers_suffice, prepare_reward
from driver.report.write import write_report
from rewards.compose import Combination


def audit_real_outputs(command: NewRun, path: Path) -> dict[str, object]:
    """Audit the reward on the outputs in a file, and return the summary of what was found.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: a scorer could not load its models, or none is left alive.
    """
    config, console = command.config, command.console
    with console.phase("checking outputs"):
        check_scorers_suffice(config.reward.reasoning)
        wanted = () if config.audit.languages == "all" else config.audit.languages
        outputs = read_outputs(path, languages=wanted, markers=config.policy.thinking_markers)
        languages = tuple(dict.fromkeys(output.language for output in outputs))
        custom_source = prepare_reward(config, languages)
    print_licence_notes(config, console)

    async def on_team(team: Team) -> list[Judged]:
        await team.start_scorers(languages, custom_source=custom_source)
        calibration = await calibration_for(config.reward.reasoning, team.scorer, languages=languages, console=console)
        if calibration is not None:
            await team.scorer.use_calibration(calibration)
        with console.phase("auditing", total=len(requests_of(outputs))) as done:
            return await judge_outputs(team.scorer, outputs, on_progress=done)

    with command.cluster() as layout:
        judged = command.on_team(layout, on_team)
    result = count_outputs(
        judged,
        combination=Combination(config.reward),
        measured_on={"outputs": str(path), **reward_settings(config)},
    )
    write_scores(command.folder.path / SCORES_FILE, judged)
    written = write_outputs_audit(command.folder.path, result)
    for table in as_tables(result):
        command.terminal.print(table)
    page = command.path / "report.html"
    summary = command.finish({"verdict": " ".join(verdict_lines(result)), "result": str(written), "report": str(page)})
    write_report(command.path)
    command.terminal.print(f"report: {page}", soft_wrap=True)
    return summary


def reward_settings(config: Config) -> dict[str, str]:
    """Return the settings of the reward that two audits must share to be comparable."""
    reward = config.reward
    weights = {part: value for part, value in Combination(reward).weights(0).items() if value}
    return {
        "judge": reward.reasoning.method,
        "encoder": config.scorer.model,
        "calibration": _calibration(reward.reasoning),
        "weights": ", ".join(f"{part} {value:g}" for part, value in weights.items()),
        "combine": reward.combine,
        "scorers": str(config.scorer.num_workers),
    }


def _calibration(reasoning: ReasoningConfig) -> str:
    if not isinstance(reasoning, CalibratedReasoning):
        return "none"
    return f"{reasoning.calibration} on {reasoning.calibration_data}"
