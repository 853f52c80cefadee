"""`calibrate`: measure what similarities of reasonings mean in each language. Starts scorers only."""

import argparse
from dataclasses import asdict

from rich.table import Table

from cluster.team import Team
from contracts.config.reward import CalibratedReasoning, CustomRewardConfig
from contracts.config.run import Config
from driver.calibration import Measured, calibrate, calibration_solutions
from driver.commands.new_run import new_run, print_licence_notes
from driver.inputs import check_comet, check_scorers_suffice
from languages.facts import LANGUAGES
from rewards.calibration import Calibration


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Calibrate the reasoning part, and return the summary of what was measured.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: a scorer could not load its models, or the similarities can't be calibrated.
    """
    with new_run(arguments, "calibrate", role="scorer", change=without_custom_reward) as command:
        config, console = command.config, command.console
        with console.phase("checking data"):
            reasoning = check_scorers_suffice(config.reward.reasoning)
            check_comet(config)
            languages = calibrated_languages(reasoning)
        print_licence_notes(config, console)

        async def measure(team: Team) -> Measured:
            await team.start_scorers(languages)
            return await calibrate(reasoning, team.scorer, console=console)

        with command.cluster() as layout:
            measured = command.on_team(layout, measure)
    command.terminal.print(as_table(measured.calibration))
    command.terminal.print(f"calibration: {measured.path}", soft_wrap=True)
    return command.finish(
        {
            "calibration": str(measured.path),
            "judge": measured.calibration.similarity,
            "data": measured.calibration.data,
            "languages": {code: asdict(scale) for code, scale in measured.calibration.languages.items()},
        }
    )


def without_custom_reward(config: Config) -> Config:
    """Return the config without the user's own reward: nothing is scored here, so the user's code is not run."""
    reward = config.reward.model_copy(update={"custom": CustomRewardConfig()})
    return config.model_copy(update={"reward": reward})


def calibrated_languages(reasoning: CalibratedReasoning) -> tuple[str, ...]:
    """Return all languages of the calibration data, which is read for that."""
    return tuple(dict.fromkeys(solution.language for solution in calibration_solutions(reasoning)))


def as_table(calibration: Calibration) -> Table:
    """Return one row per language with raw values.

    They are those of a faithful solution, of the question alone and of another problem's solution, then those at which
    the reasoning part C is 0 and one half.
    """
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
