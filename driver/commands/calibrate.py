"""`calibrate`: measure what a judge's values mean, language by language, on parallel solutions. Starts scorers only."""

import argparse
import asyncio
import time
from dataclasses import asdict

from rich.console import Console as Terminal
from rich.table import Table

from cluster.launch import collect_logs, connected, placed
from cluster.layout import choose_device, layout
from cluster.team import Team
from contracts.config.load import load_config
from contracts.config.reward import CustomRewardConfig
from contracts.config.run import Config
from driver.calibration import Measured, calibrate, calibration_solutions
from driver.config_paths import with_absolute_paths
from driver.inputs import check_comet, check_scorers_suffice, licence_notes
from driver.tracking.console import Console
from driver.tracking.logs import quiet_logs
from driver.tracking.run_folder import RunFolder, check_new, create, run_name
from languages.facts import LANGUAGES
from rewards.calibration import Calibration


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Calibrate; the summary of what was measured.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: a scorer could not load its models, or the judge's values can't be calibrated.
    """
    started = time.monotonic()
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides), models=("scorer",))
    config = without_custom_reward(config)
    path = check_new(config, config.run.name or f"calibrate-{run_name(config, arguments.config)}")
    terminal = Terminal(stderr=arguments.json)
    with Console(terminal) as console:
        with console.phase("checking data"):
            check_scorers_suffice(config.reward.reasoning)
            check_comet(config)
            languages = calibrated_languages(config)
        for note in licence_notes(config):
            console.note(note)
        with connected(config.cluster, console) as cluster:
            wanted = layout(config, choose_device(config, cluster), roles=("scorer",))
            with placed(wanted, config.cluster, console.waiting) as bundles:
                folder = create(path, config)
                quiet_logs(folder.logs / "driver.log")
                team = Team(config, bundles, console)
                measured = _measured(config, languages, team, folder=folder, console=console)
    terminal.print(as_table(measured.calibration))
    terminal.print(f"written to {measured.path}", soft_wrap=True)
    summary: dict[str, object] = {
        "run_folder": str(folder.path),
        "calibration": str(measured.path),
        "seconds": round(time.monotonic() - started, 1),
        "judge": measured.calibration.similarity,
        "data": measured.calibration.data,
        "languages": {code: asdict(scale) for code, scale in measured.calibration.languages.items()},
    }
    folder.write_summary(summary)
    return summary


def without_custom_reward(config: Config) -> Config:
    """Nothing is scored here, so no code of the user's is run."""
    reward = config.reward.model_copy(update={"custom": CustomRewardConfig()})
    return config.model_copy(update={"reward": reward})


def calibrated_languages(config: Config) -> tuple[str, ...]:
    """All languages of the calibration data, which is read for that."""
    return tuple(dict.fromkeys(solution.language for solution in calibration_solutions(config.reward.reasoning)))


def as_table(calibration: Calibration) -> Table:
    """One row a language, raw values: what a faithful solution, the question alone and another problem's solution have,
    and where C is 0 and one half."""
    table = Table("language", "n", "faithful", "question alone", "another problem", "zero", "half", "half, own zero")
    for code, scale in calibration.languages.items():
        table.add_row(
            LANGUAGES[code].name,
            str(scale.faithful.num),
            *(f"{kind.mean:.4f} ±{kind.sd:.4f}" for kind in (scale.faithful, scale.question, scale.unrelated)),
            f"{scale.floor:.4f}",
            f"+{scale.half:.4f}",
            f"+{scale.half_over_question:.4f}",
        )
    return table


def _measured(
    config: Config, languages: tuple[str, ...], team: Team, *, folder: RunFolder, console: Console
) -> Measured:
    async def measure() -> Measured:
        await team.start_scorers(languages)
        return await calibrate(config.reward.reasoning, team.scorer, console=console)

    try:
        return asyncio.run(measure())
    finally:
        collect_logs(team.processes, folder.logs)
