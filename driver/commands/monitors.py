"""Attach to a training run what watches it: the metrics for Prometheus, TensorBoard and other services."""

from collections.abc import Coroutine

from cluster.gauges import RayGauges, metric_addresses
from cluster.team import Team
from contracts.config.run import Config
from driver.commands.assembly import RunOutputs
from driver.sinks.opened import open_sinks
from driver.tracking.live_metrics import LiveMetrics
from driver.tracking.scrape_targets import keep_targets


def attach_monitors(config: Config, team: Team, outputs: RunOutputs) -> tuple[Coroutine[object, object, None], ...]:
    """Let the recorder measure the team's actors and pass each step on; return what is to run beside the run."""
    folder, recorder, found = outputs.folder, outputs.recorder, outputs.checkpoint
    gauges = RayGauges(folder.path.name)
    live = LiveMetrics(gauges, team.readings, folder=folder.path, every_s=config.fleet.heartbeat_s)
    after_step = found.state.position.step if found else 0
    sinks = open_sinks(config.sinks, folder.path, after_step=after_step, tell=recorder.note)
    recorder.attach(team.readings, live, *sinks)
    return live.keep_showing(), keep_targets(folder.targets, metric_addresses)
