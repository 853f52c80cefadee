"""`evaluate`: measure a model on problems with known answers, language by language. Starts policy workers only."""

import argparse
import asyncio
import time

from rich.console import Console as Terminal

from cluster.launch import collect_logs, connected, placed
from cluster.layout import choose_device, layout
from cluster.team import Team
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.config_paths import with_absolute_paths
from driver.evaluation.inputs import EvaluationInputs, prepare_evaluation
from driver.evaluation.measure import EvaluationResult, record_evaluation
from driver.evaluation.run import evaluate_policy
from driver.evaluation.table import as_table
from driver.tracking.console import Console
from driver.tracking.logs import quiet_logs
from driver.tracking.run_folder import RunFolder, check_new, create, run_name
from driver.tracking.summary import by_language


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Evaluate; the summary of what was measured.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: an engine could not load the model, or died.
    """
    started = time.monotonic()
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides), models=("policy",))
    path = check_new(config, config.run.name or f"evaluate-{run_name(config, arguments.config)}")
    terminal = Terminal(stderr=arguments.json)
    with Console(terminal) as console:
        with console.phase("checking data, model and prompts"):
            inputs = prepare_evaluation(config)
        with connected(config.cluster, console) as cluster:
            wanted = layout(config, choose_device(config, cluster), roles=("policy",))
            with placed(wanted, config.cluster, console.waiting) as bundles:
                folder = create(path, config)
                quiet_logs(folder.logs / "driver.log")
                result = _measured(config, inputs, Team(config, bundles, console), folder=folder, console=console)
    terminal.print(as_table(result))
    summary: dict[str, object] = {
        "run_folder": str(folder.path),
        "seconds": round(time.monotonic() - started, 1),
        "measured_on": dict(result.measured_on),
        "languages": by_language(result),
    }
    folder.write_summary(summary)
    return summary


def _measured(
    config: Config, inputs: EvaluationInputs, team: Team, *, folder: RunFolder, console: Console
) -> EvaluationResult:
    async def measure() -> EvaluationResult:
        await team.start_frozen_policy()
        return await evaluate_policy(config, inputs, team.policy, console)

    try:
        result = asyncio.run(measure())
    finally:
        collect_logs(team.processes, folder.logs)
    record_evaluation(folder.evaluation, "before", result)
    return result
