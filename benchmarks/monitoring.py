"""Measure what it costs to watch a run: metrics on their way to Prometheus, and the live page of a very long run.

    python -m benchmarks.monitoring [--actors 1000] [--steps 10000]

Starts Ray on this machine, but no engine: readings and metrics are made up.
"""

import argparse
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import ray

from actors.fleets.readings import ActorReading
from actors.remote.progress import Progress
from cluster.gauges import RayGauges, metric_addresses
from driver.sinks.tensorboard import TensorBoardSink
from driver.tracking.actor_metrics import ActorMeter
from driver.tracking.line_logs import JsonLines
from driver.tracking.run_folder import RunFolder
from driver.watch.state import WatchedRun

ROUNDS = 5
LANGUAGES = ("de", "sw", "th", "zh")
WITHIN_S = 60
"""Longest wait until Ray's agent offers what was set: its report interval is 10 s."""


def main() -> None:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10_000)
    arguments = parser.parse_args()
    live_page(arguments.steps)
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    try:
        to_prometheus(arguments.actors)
    finally:
        ray.shutdown()


def to_prometheus(num_actors: int) -> None:
    """Measure one setting of all series, one step for TensorBoard, and one answer of Ray's agent."""
    gauges, meter, work = RayGauges("benchmark"), ActorMeter(), iter(range(1_000_000))
    meter.measure(readings(num_actors, next(work)))

    def show() -> None:
        gauges.show(of_step(1) | meter.measure(readings(num_actors, next(work))))

    print(f"setting all series of {num_actors} actors: {seconds(show):.4f} s (aim: below 1% of a step of 10 s, 0.1 s)")
    with tempfile.TemporaryDirectory() as folder:
        sink, metrics = TensorBoardSink(Path(folder)), of_step(1) | meter.measure(readings(num_actors, next(work)))
        print(f"a step of {len(metrics)} metrics for TensorBoard: {seconds(lambda: sink.step(1, metrics)):.4f} s")
        sink.close()
    (address,) = metric_addresses()
    deadline = time.monotonic() + WITHIN_S
    while page(address).count(b"ray_pb_rlsvr_actor_queue{") < num_actors:
        assert time.monotonic() < deadline, "Ray's agent does not offer the series"
        show()
        time.sleep(1)
    show()
    print(
        f"one answer of Ray's agent, {len(page(address)) >> 10} KiB: {seconds(lambda: page(address)):.2f} s "
        "(aim: < 5 s)"
    )


def page(address: str) -> bytes:
    """Return what the agent offers to Prometheus."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        return answer.read()


def live_page(num_steps: int) -> None:
    """Measure the first answer of the live page and the later ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        lines = JsonLines(folder.metrics)
        meter = ActorMeter()
        meter.measure(readings(6, 0))
        for step in range(1, num_steps + 1):
            metrics = of_step(step) | meter.measure(readings(6, step))
            lines.append({"step": step, "time": 1e9 + 6 * step, "metrics": metrics})
        lines.close()
        run = WatchedRun(folder)
        size = folder.metrics.stat().st_size >> 20
        started, busy = time.perf_counter(), time.process_time()
        answer = json.dumps(run.state())
        first, busy = time.perf_counter() - started, time.process_time() - busy
        later = seconds(lambda: json.dumps(run.state()))
        print(f"live page at {num_steps} steps ({size} MiB of metrics): first answer {first:.2f} s, ", end="")
        print(f"of it {busy:.2f} s of processor time (aim: < 2 s); later ones {later:.2f} s, {len(answer) >> 10} KiB")


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of a few rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def readings(num_actors: int, number: int) -> Sequence[ActorReading]:
    """Return readings of policy workers, `number` seconds after the first ones."""
    return [
        ActorReading(
            name=f"policy-{index}",
            role="policy",
            is_serving=True,
            num_restarts=0,
            progress=Progress(work=400.0 * number, turns=number, busy_s=0.8 * number, at_s=float(number)),
            queue=16,
            version=number,
        )
        for index in range(num_actors)
    ]


def of_step(step: int) -> dict[str, float]:
    """Return about as many metrics as a step of four languages has."""
    parts = [f"{kind}/{name}" for kind, name in (("reward", "answer"), ("reward", "reasoning"), ("gate", "language"))]
    measures = ("accuracy", "reward_mean", "agreement", "language_consistency", "response_length", "truncated")
    names = [
        *(f"{part}/{code}" for part in parts for code in ("all", *LANGUAGES)),
        *(f"lang/{code}/{name}" for code in ("all", *LANGUAGES) for name in measures),
        *(f"timing_s/{stage}" for stage in ("generate", "pivot", "score", "wait", "learn", "push", "step")),
        *(f"policy/{name}" for name in ("loss", "entropy", "grad_norm", "mismatch_kl", "ratio_mean", "approx_kl")),
        *(f"throughput/{name}_per_s" for name in ("policy_tokens", "pivot_tokens", "learner_tokens", "scorer_texts")),
        *("reward/mean", "reward/std", "group/used", "group/reward_std", "queue/ready", "queue/in_flight"),
    ]
    return {name: (step % 97) / 97 for name in names}


if __name__ == "__main__":
    main()
