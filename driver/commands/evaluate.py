"""`evaluate`: measure a model on problems with known answers, language by language. Starts policy workers only."""

import argparse

from cluster.team import Team
from driver.commands.new_run import new_run, print_template_notes
from driver.evaluation.inputs import prepare_evaluation
from driver.evaluation.measure import EvaluationResult, record_evaluation
from driver.evaluation.run import evaluate_policy
from driver.evaluation.table import as_table
from driver.tracking.summary import by_language


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Evaluate a model, and return the summary of what was measured.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: an engine could not load the model, or died.
    """
    with new_run(arguments, "evaluate", role="policy") as command:
        config, console = command.config, command.console
        with console.phase("checking data, model and prompts"):
            inputs = prepare_evaluation(config)
        print_template_notes(console, policy=inputs.prompter)

        async def measure(team: Team) -> EvaluationResult:
            await team.start_frozen_policy()
            return await evaluate_policy(config, inputs, team.policy, console)

        with command.cluster() as layout:
            result = command.on_team(layout, measure)
            record_evaluation(command.folder.evaluation, "before", result)
    command.terminal.print(as_table(result))
    return command.finish({"measured_on": dict(result.measured_on), "languages": by_language(result)})
