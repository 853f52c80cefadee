"""Start a run, inject faults at their moments, and start it again by the same command where a fault has ended it.

A run that ends by itself before its last step, or makes no progress for too long, has failed; the error shows the last
lines that it printed.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from driver.run_state.checkpoints import whole_checkpoints
from driver.tracking.line_logs import read_metrics
from tests.chaos.disk import SmallDisk
from tests.chaos.gate import OpenGate
from tests.chaos.outcome import verify
from tests.chaos.plan import AT_END, STAGES, Fault, Stage, Target
from tests.chaos.signals import pause, send, starve, workers
from tests.chaos.stages import StageWatch, stop_in
from tests.chaos.tiny_run import TinyRun
from tests.commands import MARK, RUN, marked, stop, survivors

_POLL_S = 0.2
_WATCH_S = 0.01
_GONE_WITHIN_S = 120.0
"""Seconds that the processes of a driver may outlive it; Ray's own agents take a minute where the driver was killed."""
_SHUT_DOWN_S = 120.0
"""Seconds beyond checkpoint.grace_s in which the driver shuts its actors down."""
_LAST_LINES = 40
_STARVED, _SLOW = 0.1, 0.03
"""Shares of the processor's time. A slow worker still answers each heartbeat within fleet.suspect_after_s."""
_SLOW_S = 30.0
"""A slow worker is slow for so much longer than a starved one."""
_FAILED = 1
"""Exit code of a run that could not go on."""


class RunBroken(AssertionError):
    """Report that the run did not survive a fault, with the last lines that it printed."""


class FaultInjection:
    """Run a training run under faults; to be used as a context manager, which leaves no process behind."""

    def __init__(
        self, run: TinyRun, *, environment: Mapping[str, str], stall_s: float, disk: SmallDisk | None = None
    ) -> None:
        """Take the run, how many seconds it may go without a new step, counted anew from each fault, and its disk."""
        self.starts = 0
        self.left_behind: list[str] = []  # processes that outlived their driver by _GONE_WITHIN_S
        self.log = run.place / "faults.jsonl"
        self._run = run
        self._disk = disk
        self._environment = environment
        self._stall_s = stall_s
        self._output = run.place / "output.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._marks: list[str] = []  # one a start
        self._started_at = 0.0  # seconds since the epoch, as metrics.jsonl counts
        self._last_fault_at: dict[Target, float] = {}  # in the same time as _started_at
        self._highest = 0
        self._patient_until = 0.0

    def __enter__(self) -> "FaultInjection":
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_driver()
        for mark in self._marks:
            stop(mark)

    def inject(self, faults: Sequence[Fault]) -> None:
        """Inject each fault at its moment, then wait for the end of the run.

        Raises:
            RunBroken: the run did not survive.
        """
        for fault in faults:
            self._await_moment(fault)
            self._inject(fault)
            self._extend_patience()
        while (code := self._driver.poll()) is None:
            self._look()
        if code != 0:
            raise self._failure(f"the run ended with exit code {code}")
        self._note_left_behind()

    # --- the run's process --------------------------------------------------------------------------------------------

    @property
    def _driver(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the run is started when the context is entered"
        return self._process

    def _start(self) -> None:
        """Start the driver, every time by the same command."""
        self.starts += 1
        self._marks.append(uuid.uuid4().hex)
        self._started_at = time.time()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(RUN), *self._run.words],
                cwd=self._run.place,
                env={**self._environment, MARK: self._marks[-1]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._extend_patience()

    def _end_driver(self) -> None:
        self._driver.kill()
        self._driver.wait()

    def _note_left_behind(self) -> None:
        """Note the processes that outlive their driver: actors have to end by themselves."""
        for mark in self._marks:
            self.left_behind += survivors(mark, within_s=_GONE_WITHIN_S)

    # --- moments ------------------------------------------------------------------------------------------------------

    def _await_moment(self, fault: Fault) -> None:
        """Wait for the fault's step, and for a step since this start and since the last fault on the same target.

        A worker that does not load when the run starts ends the run, by design; and a fault can't be injected into a
        worker that is down already.
        """
        if (fault.target, fault.kind) in AT_END:
            return  # the stage itself is waited for
        since = max(self._started_at, self._last_fault_at.get(fault.target, 0.0))
        self._run.wait_for_faults(self._step() - fault.after_step)
        while not (self._step() >= fault.after_step and self._last_step_time() > since):
            self._expect_running(fault)
        moment = time.monotonic() + fault.delay_s
        while time.monotonic() < moment:
            self._expect_running(fault)

    def _expect_running(self, fault: Fault) -> None:
        self._look()
        if (code := self._driver.poll()) is not None:
            raise self._failure(
                f"the run ended with exit code {code} before fault {fault.number} could be injected; more steps or a "
                "slower pace give it time"
            )

    def _look(self) -> None:
        """Wait a moment.

        Raises:
            RunBroken: the run has made no step for too long.
        """
        time.sleep(_POLL_S)
        if (step := self._step()) > self._highest:
            self._highest = step
            self._extend_patience()
        if time.monotonic() > self._patient_until:
            raise self._failure(f"no step after step {self._highest} for {self._stall_s:g} s")

    def _extend_patience(self) -> None:
        self._patient_until = time.monotonic() + self._stall_s

    def _step(self) -> int:
        """The last one that is written down."""
        steps = read_metrics(self._run.folder.metrics)
        return steps[-1].step if steps else 0

    def _last_step_time(self) -> float:
        """Return the time of the last step in seconds since the epoch; 0 before the first."""
        steps = read_metrics(self._run.folder.metrics)
        return steps[-1].time if steps else 0.0

    # --- faults -------------------------------------------------------------------------------------------------------

    def _inject(self, fault: Fault) -> None:
        pid = self._driver.pid if fault.target == "driver" else self._worker_for(fault)
        self._log(fault, pid)
        self._last_fault_at[fault.target] = time.time()
        if fault.target == "driver":
            self._inject_into_driver(fault)
            return
        match fault.kind:
            case "kill":
                send(pid, signal.SIGKILL)
            case "hang":
                send(pid, signal.SIGSTOP)
            case "pause":
                pause(pid, fault.lasts_s)
            case "starve":
                starve(pid, fault.lasts_s, share=_STARVED)
            case "slow":
                starve(pid, fault.lasts_s + _SLOW_S, share=_SLOW)
            case _:
                raise ValueError(f"{fault.kind!r} is not a fault of an actor")

    def _inject_into_driver(self, fault: Fault) -> None:
        match fault.kind:
            case "pause":
                pause(self._driver.pid, fault.lasts_s)
                return
            case "starve":
                starve(self._driver.pid, fault.lasts_s, share=_STARVED)
                return
            case "full_disk":
                if not self._fill_disk(fault):
                    return
            case _:
                self._end(fault)
        self._verify(fault)
        if fault.kind == "lost_record":
            self._lose_record()
        self._start()  # at once: what the one before left behind may still be ending

    def _end(self, fault: Fault) -> None:
        match fault.kind:
            case "stop":
                self._stop_driver(fault)
            case "hang":
                send(self._driver.pid, signal.SIGSTOP)
                time.sleep(fault.lasts_s)
                self._end_driver()
            case "kill":
                self._end_driver()
            case "kill_all" | "lost_record":
                self._kill_all()
            case stage:
                assert stage in STAGES, f"{stage!r} is no fault that ends a driver"
                self._kill_in(stage, fault)

    def _kill_all(self) -> None:
        for pid in marked(self._marks[-1]):
            send(pid, signal.SIGKILL)
        self._driver.wait()

    def _kill_in(self, stage: Stage, fault: Fault) -> None:
        """Kill the run in a stage of its writing, at the first time that it is seen there."""
        watch = StageWatch(self._run.folder, keep_last=self._run.settings.keep_last)
        while not self._run.folder.checkpoints.exists():
            self._expect_running(fault)
        try:
            gate = OpenGate([self._run.folder.path, self._run.folder.checkpoints])
        except PermissionError:
            self._stop_by_slices(watch, stage, fault)
            self._kill_all()
            return
        with gate:
            self._hold(gate, watch, stage, fault)
            self._kill_all()

    def _hold(self, gate: OpenGate, watch: StageWatch, stage: Stage, fault: Fault) -> None:
        """Return when the run is in the stage. It stands still where it opens something next."""
        looked_at = 0.0
        while True:
            request = gate.next(_WATCH_S)
            if watch.is_in(stage):
                return
            if request is not None:
                gate.let_through(request)
            elif time.monotonic() > looked_at + _POLL_S:
                self._expect_running(fault)
                looked_at = time.monotonic()

    def _stop_by_slices(self, watch: StageWatch, stage: Stage, fault: Fault) -> None:
        """Return when the driver is stopped in the stage; a stage that is too short for it is looked for once more."""
        is_of_end = (fault.target, fault.kind) in AT_END

        def is_over() -> bool:
            has_ended = self._driver.poll() is not None or time.monotonic() > self._patient_until
            return has_ended or (not is_of_end and watch.is_over())

        while True:
            while not (self._step() >= self._run.settings.steps if is_of_end else watch.is_close()):
                self._expect_running(fault)
            if stop_in(self._driver.pid, lambda: watch.is_in(stage), until=is_over):
                return

    def _fill_disk(self, fault: Fault) -> bool:
        """Fill the run's disk for some seconds, or until the run has ended for it; return whether it has.

        A run may go on without a checkpoint, and it may end with one line, exit code 1. It may do nothing else.
        """
        assert self._disk is not None, "without a small disk there are no faults of this kind"
        self._disk.fill()
        with suppress(subprocess.TimeoutExpired):
            self._driver.wait(timeout=fault.lasts_s)
        self._disk.free()
        # A write that failed may end the run a little later.
        with suppress(subprocess.TimeoutExpired):
            self._driver.wait(timeout=_SHUT_DOWN_S / 2)
        code = self._driver.poll()
        if code not in (None, _FAILED):
            raise self._failure(f"on a full disk (fault {fault.number}) the run ended with exit code {code}")
        return code is not None

    def _lose_record(self) -> None:
        """Cut the steps that the newest checkpoint rests on off from metrics.jsonl, but not those of the one before."""
        checkpoints = sorted(whole_checkpoints(self._run.folder.checkpoints))
        kept = checkpoints[-2] if len(checkpoints) > 1 else checkpoints[-1]
        lines = self._run.folder.metrics.read_bytes().splitlines(keepends=True)
        covered = [line for line in lines if json.loads(line).get("step", 0) <= kept]
        self._run.folder.metrics.write_bytes(b"".join(covered))

    def _stop_driver(self, fault: Fault) -> None:
        """Send SIGTERM; the driver has to exit with 0 within the grace of the config."""
        self._driver.send_signal(signal.SIGTERM)
        limit_s = self._run.settings.grace_s + _SHUT_DOWN_S
        try:
            code = self._driver.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise self._failure(f"{limit_s:g} s after SIGTERM (fault {fault.number}) the run had not ended") from None
        if code != 0:
            raise self._failure(f"after SIGTERM (fault {fault.number}) the run ended with exit code {code}")

    def _verify(self, fault: Fault) -> None:
        """Verify the folder now: it has to be right after every fault, not only at the end."""
        code, _, said = verify(self._run.folder.path)
        if code != 0:
            raise self._failure(f"after fault {fault.number} verify ended with exit code {code}: {said}")

    def _worker_for(self, fault: Fault) -> int:
        """Return one of the target's workers, as soon as there is one that is not stopped."""
        assert fault.target != "driver", "the driver is not a worker"
        while not (found := workers(self._marks[-1], fault.target)):
            self._expect_running(fault)
        return found[int(fault.choice * len(found))]

    def _log(self, fault: Fault, pid: int) -> None:
        record = {"time": time.time(), "step": self._step(), "pid": pid, **asdict(fault)}
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def _failure(self, what: str) -> RunBroken:
        said = _last_lines(self._output)
        events = _last_lines(self._run.folder.events)
        return RunBroken(f"{what}\n--- last output\n{said}\n--- events\n{events}")


def _last_lines(path: Path) -> str:
    if not path.exists():
        return f"(no {path.name})"
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])


def clean_environment(ray_folder: Path) -> dict[str, str]:
    """Return this process' environment without a running cluster's address and token; Ray gets a folder of its own."""
    others = ("PYTHONPATH", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "PB_RLSVR_HOME")
    inherited = {name: value for name, value in os.environ.items() if name not in others}
    return inherited | {"RAY_TMPDIR": str(ray_folder), "COLUMNS": "200"}
