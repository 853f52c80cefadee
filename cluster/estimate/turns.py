"""Account for policy workers and learner ranks that use the same GPUs in turns (cluster.colocate).

Who waits has given up its memory, but not its CUDA context, nor an engine its CUDA graphs.
"""

from dataclasses import replace

from cluster.estimate.parts import ActorMemory, Memory

STATES = ("weights", "weight shards", "optimiser states", "gradients")
"""Parts of a learner rank that stay from step to step: they are in host memory in the policy's turn."""
_LEFT = ("CUDA graphs", "context and NCCL")


def with_states_on_host(learner: ActorMemory) -> ActorMemory:
    """Return the memory of a rank with room on the host for its states. The host's memory is kept between turns."""
    if learner.host is None or learner.gpu is None:
        return learner
    return replace(learner, host=Memory({**learner.host.parts, "states in turns": _sum(learner.gpu, STATES)}))


def turns_gib(policy: Memory, learner: Memory) -> dict[str, float]:
    """Return the GiB of a shared GPU in each turn, and while weights pass from the rank to the engine."""
    left_by_policy, left_by_learner = _sum(policy, _LEFT), _sum(learner, _LEFT)
    passing = _sum(learner, (*STATES, "gathered weights")) + _sum(policy, ("weights",))
    return {
        "the policy's turn": policy.total_gib + left_by_learner,
        "the learner's turn": learner.total_gib + left_by_policy,
        "a weight push": passing + left_by_policy + left_by_learner,
    }


def _sum(memory: Memory, names: tuple[str, ...]) -> float:
    return sum(memory.parts.get(name, 0.0) for name in names)
