"""Take later steps out of a run's record."""

from driver.tracking.metrics import cut_events, cut_metrics
from driver.tracking.run_folder import RunFolder
from driver.tracking.samples_file import cut_samples


def cut_record(folder: RunFolder, *, after_step: int) -> None:
    """Take later steps out of metrics, samples and events; events of no step stay."""
    cut_metrics(folder.metrics, after_step=after_step)
    cut_samples(folder.samples, after_step=after_step)
    cut_events(folder.events, after_step=after_step)
