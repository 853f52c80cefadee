"""Give every response the same reward, so that the gates alone decide (arm "gates-only")."""

from contracts.rollouts import ScoreRequest


def reward(request: ScoreRequest) -> list[float]:
    """Return 1 for each response of the group."""
    return [1.0] * len(request.responses)
