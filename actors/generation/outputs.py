"""vLLM's outputs as the project's types, checked: each token's log-probability and the weights that drew it.

Owns the reading. Knows vLLM's outputs by shape only and imports none of it; who asks is actors/generation/engine.py.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from contracts.rollouts import Rollout


class VersionSpan(Protocol):
    """Tokens [start, end) of a response were drawn by the weights of this version."""

    @property
    def version(self) -> str: ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


@runtime_checkable
class FlatLogprobs(Protocol):
    """vLLM's flat form: those of place i are at [start_indices[i], end_indices[i]) of token_ids and logprobs."""

    start_indices: list[int]
    end_indices: list[int]
    token_ids: list[int]
    logprobs: list[float]


class Completion(Protocol):
    """One response of a finished request."""

    @property
    def text(self) -> str: ...

    @property
    def token_ids(self) -> Sequence[int]: ...

    @property
    def logprobs(self) -> object: ...

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def weight_versions(self) -> Sequence[VersionSpan] | None: ...


class FinishedRequest(Protocol):
    """What vLLM returns of a request: here always one response."""

    @property
    def outputs(self) -> Sequence[Completion]: ...

    @property
    def prompt_token_ids(self) -> Sequence[int] | None: ...

    @property
    def prompt_logprobs(self) -> object: ...


def read_rollout(output: FinishedRequest) -> Rollout:
    """vLLM's output as a rollout.

    Raises ValueError where a log-probability or a version is missing or no number, or the response isn't whole.
    """
    completion = output.outputs[0]
    if completion.finish_reason not in ("stop", "length"):
        raise ValueError(f"vLLM ended it with finish_reason {completion.finish_reason!r}")
    return Rollout(
        token_ids=tuple(completion.token_ids),
        logprobs=_logprobs_of(completion.token_ids, completion.logprobs),
        text=completion.text,
        finish_reason=completion.finish_reason,
        token_versions=_token_versions(completion),
    )


def read_answer_probability(output: FinishedRequest, *, num_tokens: int) -> float:
    """Mean probability of the prompt's last `num_tokens` tokens: (1 / A) sum_t p(a_t | prompt, a_<t).

    Raises ValueError where a log-probability is missing or no number.
    """
    logprobs = _logprobs_of(output.prompt_token_ids or [], output.prompt_logprobs, skip=-num_tokens)
    return sum(math.exp(logprob) for logprob in logprobs) / num_tokens


def _logprobs_of(token_ids: Sequence[int], flat: object, *, skip: int = 0) -> tuple[float, ...]:
    """The log-probability of each token from place `skip` on, negative from the end."""
    if not isinstance(flat, FlatLogprobs) or len(flat.start_indices) != len(token_ids):
        found = str(len(flat.start_indices)) if isinstance(flat, FlatLogprobs) else "no"
        raise ValueError(f"vLLM returned {found} log-probabilities for {len(token_ids)} tokens")
    logprobs = []
    for place in range(len(token_ids))[skip:]:
        token, values = token_ids[place], range(flat.start_indices[place], flat.end_indices[place])
        # By token id, not by rank: the drawn token need not be the first of its position.
        found = [flat.logprobs[at] for at in values if flat.token_ids[at] == token]
        if not found or not math.isfinite(found[0]):
            raise ValueError(f"token {token} at place {place} has log-probability {found[0] if found else 'missing'}")
        logprobs.append(float(found[0]))
    return tuple(logprobs)


def _token_versions(completion: Completion) -> tuple[int, ...]:
    """[T] vLLM notes, at every step, the version that the weights of this step were given
    (actors/weight_sync/receiver.py).

    Tokens are returned by the step that drew them, so the spans are exact: asynchronous scheduling is off in a policy.
    """
    versions: list[int] = []
    for span in completion.weight_versions or ():
        if span.start != len(versions) or not span.version.isdecimal():
            raise ValueError(f"vLLM says that version {span.version!r} drew token {span.start}, after {len(versions)}")
        versions.extend([int(span.version)] * (span.end - span.start))
    return tuple(versions)
