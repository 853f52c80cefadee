"""`evaluate`: measure a model on problems with known answers, language by language. Starts policy workers only."""

import argparse
import asyncio
import time

from rich.console import Console

from cluster.launch import collect_logs, connected, placed
from cluster.layout import choose_device, layout
from cluster.team import Team
from driver.config import Config
from driver.config_load import load_config
from driver.evaluation import EvaluationResult, record_evaluation
from driver.evaluation_table import as_table
from driver.evaluator import evaluate_policy
from driver.inputs import EvaluationInputs, prepare_evaluation
from driver.logs import quiet_logs
from driver.paths import with_absolute_paths
from driver.progress import Progress
from driver.run_folder import check_new, create, run_name


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Evaluate; the summary of what was measured."""
    started = time.monotonic()
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides), models=("policy",))
    path = check_new(config, f"evaluate-{run_name(config, arguments.config)}")
    inputs = prepare_evaluation(config)
    console = Console(stderr=arguments.json)
    with Progress(console) as progress, connected(config.cluster) as cluster:
        wanted = layout(config, choose_device(config, cluster), roles=("policy",))
        with placed(wanted, config.cluster, progress.waiting) as bundles:
            folder = create(path, config)
            quiet_logs(folder.logs / "driver.log")
            team = Team(config, bundles, progress)
            try:
                result = asyncio.run(_measure(config, inputs, team, progress))
            finally:
                collect_logs(team.processes, folder.logs)
            record_evaluation(folder.evaluation, "before", result)
    console.print(as_table(result))
    summary = {
        "run_folder": str(folder.path),
        "seconds": round(time.monotonic() - started, 1),
        "languages": {
            language.language: {
                "accuracy": language.accuracy,
                "language_consistency": language.language_consistency,
                "accuracy_in_language": language.accuracy_in_language,
                "num_items": language.num_items,
            }
            for language in result.languages
        },
    }
    folder.write_summary(summary)
    return summary


async def _measure(config: Config, inputs: EvaluationInputs, team: Team, progress: Progress) -> EvaluationResult:
    await team.start_frozen_policy()
    return await evaluate_policy(config, inputs, team.policy, progress)
