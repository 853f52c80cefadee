"""Attach to a training run what watches it: the metrics for Prometheus."""

from collections.abc import Coroutine

from cluster.gauges import RayGauges, metric_addresses
from cluster.team import Team
from contracts.config.run import Config
from driver.tracking.live_metrics import LiveMetrics
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder
from driver.tracking.scrape_targets import keep_targets


def attach_monitors(
    config: Config, team: Team, recorder: RunRecorder, folder: RunFolder
) -> tuple[Coroutine[object, object, None], ...]:
    """Let the recorder measure the team's actors and pass each step on; return what is to run beside the run."""
    gauges = RayGauges(folder.path.name)
    live = LiveMetrics(gauges, team.readings, folder=folder.path, every_s=config.fleet.heartbeat_s)
    recorder.attach(team.readings, live)
    return live.keep_showing(), keep_targets(folder.targets, metric_addresses)
