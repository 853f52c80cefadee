"""Keep a sink that may be slow, or fail, away from the run: it works in a thread of its own."""

import logging
import queue
import threading
import traceback
from collections.abc import Callable, Mapping

from contracts.secrets import redacted
from driver.tracking.metric_sink import MetricSink

CLOSES_WITHIN_S = 60.0
"""Longest wait for what is left to be passed on at the end of a run."""

Work = Callable[[MetricSink], None]
logger = logging.getLogger(__name__)


class BackgroundSink:
    """Pass steps on in their order. After its first failure it passes on nothing, says so once, and the run goes on."""

    def __init__(self, name: str, open_sink: Callable[[], MetricSink], *, tell: Callable[[str], None]) -> None:
        """Begin to open the sink.

        Args:
            name: of the service, for people.
            open_sink: opens it, in the thread; it may raise anything.
            tell: shows a person a line; called in the thread of the caller of `step` or `close` only.
        """
        self._name = name
        self._tell = tell
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()  # None: the end
        self._failure: Exception | None = None
        self._has_told = False
        self._thread = threading.Thread(target=self._run, args=(open_sink,), name=name, daemon=True)
        self._thread.start()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass a finished step on, later."""
        kept = dict(metrics)
        self._work.put(lambda sink: sink.step(step, kept))
        self._tell_failure()

    def cut_back(self, step: int) -> None:
        """Say that later steps are done again."""
        self._work.put(lambda sink: sink.cut_back(step))

    def close(self) -> None:
        """Wait until everything was passed on, but not for ever."""
        self._work.put(lambda sink: sink.close())
        self._work.put(None)
        self._thread.join(CLOSES_WITHIN_S)
        if self._thread.is_alive():
            self._tell(
                f"{self._name} did not take the last metrics within {CLOSES_WITHIN_S:g} s; metrics.jsonl has them"
            )
        self._tell_failure()

    def _tell_failure(self) -> None:
        if self._failure is not None and not self._has_told:
            self._has_told = True
            kind = type(self._failure).__name__
            self._tell(f"{self._name} gets no metrics any more ({kind}, see logs/driver.log); metrics.jsonl has them")

    def _run(self, open_sink: Callable[[], MetricSink]) -> None:
        try:
            sink = open_sink()
            while (work := self._work.get()) is not None:
                work(sink)
        except Exception as failure:  # noqa: BLE001 - it is another program's; told and logged, and the run goes on
            logger.error("%s failed: %s", self._name, redacted("".join(traceback.format_exception(failure))))
            self._failure = failure
