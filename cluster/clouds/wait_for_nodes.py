"""Wait until a Ray cluster has so many nodes: `python wait_for_nodes.py 8`, on a machine of the cluster.

A run refuses a cluster that is too small at once, because it can't know that more nodes come. A launch file knows.
Imports nothing of the project, so that it starts from any folder.
"""

import argparse
import sys
import time

import ray

LOOK_EVERY_S = 5.0
SAY_EVERY_S = 30.0


def main() -> None:
    """Wait, and say every half minute for what. Ends with exit code 1 where the nodes don't come in time."""
    parser = argparse.ArgumentParser(description="Wait until the Ray cluster of this machine has so many nodes.")
    parser.add_argument("num_nodes", type=int, help="nodes to wait for, the head included")
    parser.add_argument("--timeout-s", type=float, default=3600.0, help="longest wait, in seconds (%(default)s)")
    arguments = parser.parse_args()
    ray.init(address="auto", log_to_driver=False)
    try:
        found = wait(arguments.num_nodes, timeout_s=arguments.timeout_s)
    finally:
        ray.shutdown()
    if found < arguments.num_nodes:
        sys.exit(f"the cluster has {found} of {arguments.num_nodes} nodes after {arguments.timeout_s:g} s")


def wait(num_nodes: int, *, timeout_s: float) -> int:
    """Return the number of living nodes, as soon as it is `num_nodes` or the time is over."""
    started = time.monotonic()
    say_at = started
    while True:
        found = sum(node["Alive"] for node in ray.nodes())
        now = time.monotonic()
        if found >= num_nodes or now - started >= timeout_s:
            return found
        if now >= say_at:
            sys.stderr.write(f"waiting for nodes: {found} of {num_nodes} are there\n")
            say_at = now + SAY_EVERY_S
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main()
