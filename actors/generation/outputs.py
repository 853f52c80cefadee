"""Read vLLM's outputs into the project's types, and check each token's log-probability and policy version.

Must not import vLLM: its outputs are described by Protocols.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from contracts.rollouts import Rollout


class VersionSpan(Protocol):
    """Say that the weights of a version drew the tokens [start, end) of a response."""

    @property
    def version(self) -> str: ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


@runtime_checkable
class FlatLogprobs(Protocol):
    """Type vLLM's flat form: token i's entries are at [start_indices[i], end_indices[i]) of token_ids and logprobs."""

    start_indices: list[int]
    end_indices: list[int]
    token_ids: list[int]
    logprobs: list[float]


class Completion(Protocol):
    """One response of a finished request."""

    @property
    def token_ids(self) -> Sequence[int]: ...

    @property
    def logprobs(self) -> object: ...

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def weight_versions(self) -> Sequence[VersionSpan] | None: ...


class FinishedRequest(Protocol):
    """A finished request as vLLM returns it: here always with one response."""

    @property
    def outputs(self) -> Sequence[Completion]: ...

    @property
    def prompt_token_ids(self) -> Sequence[int] | None: ...

    @property
    def prompt_logprobs(self) -> object: ...


def read_rollout(output: FinishedRequest, decode: Callable[[Sequence[int]], str]) -> Rollout:
    """Return vLLM's output as a rollout.

    `decode` gives the text of the response's tokens, which does not hold the token that ended it.

    Raises:
        ValueError: a log-probability or a version is missing or not a number, or the response was aborted.
    """
    completion = output.outputs[0]
    if completion.finish_reason not in ("stop", "length"):
        raise ValueError(f"vLLM ended the response with finish_reason {completion.finish_reason!r}")
    is_stopped = completion.finish_reason == "stop"
    return Rollout(
        token_ids=tuple(completion.token_ids),
        logprobs=_logprobs_of(completion.token_ids, completion.logprobs),
        text=decode(completion.token_ids[:-1] if is_stopped else completion.token_ids),
        finish_reason=completion.finish_reason,
        token_versions=_token_versions(completion),
    )


def read_answer_probability(output: FinishedRequest, *, num_tokens: int) -> float:
    """Return the mean probability of the prompt's last A = `num_tokens` tokens: (1 / A) sum_t p(a_t | prompt, a_<t).

    Raises:
        ValueError: a log-probability is missing or not a number.
    """
    logprobs = _answer_logprobs(output, num_tokens)
    return sum(math.exp(logprob) for logprob in logprobs) / num_tokens


def read_answer_likelihood(output: FinishedRequest, *, num_tokens: int) -> float:
    """Return the log-likelihood of the prompt's last `num_tokens` tokens, sum_t log p(a_t | prompt, a_<t), in nats.

    Raises:
        ValueError: a log-probability is missing or not a number.
    """
    return math.fsum(_answer_logprobs(output, num_tokens))


def _answer_logprobs(output: FinishedRequest, num_tokens: int) -> tuple[float, ...]:
    return _logprobs_of(output.prompt_token_ids or [], output.prompt_logprobs, skip=-num_tokens)


def _logprobs_of(token_ids: Sequence[int], flat: object, *, skip: int = 0) -> tuple[float, ...]:
    """Return the log-probability of each token from index `skip` on; a negative index counts from the end."""
    if not isinstance(flat, FlatLogprobs) or len(flat.start_indices) != len(token_ids):
        found = str(len(flat.start_indices)) if isinstance(flat, FlatLogprobs) else "no"
        raise ValueError(f"vLLM returned {found} log-probabilities for {len(token_ids)} tokens")
    logprobs = []
    for index in range(len(token_ids))[skip:]:
        token, values = token_ids[index], range(flat.start_indices[index], flat.end_indices[index])
        # By token id, not by rank: the drawn token need not be the first entry of its position.
        found = [flat.logprobs[at] for at in values if flat.token_ids[at] == token]
        if not found or not math.isfinite(found[0]):
            raise ValueError(f"token {token} at index {index} has log-probability {found[0] if found else 'missing'}")
        logprobs.append(float(found[0]))
    return tuple(logprobs)


def _token_versions(completion: Completion) -> tuple[int, ...]:
    """Return the policy version that drew each token [T].

    vLLM notes the version that the weights have when a step returns its tokens. The weights change only after all steps
    that were planned ahead have returned theirs (`drain`), so the spans are exact.

    Raises:
        ValueError: the spans have a gap, or a version is not a number.
    """
    versions: list[int] = []
    for span in completion.weight_versions or ():
        if span.start != len(versions) or not span.version.isdecimal():
            raise ValueError(
                f"vLLM says that version {span.version!r} drew token {span.start}, after {len(versions)} tokens"
            )
        versions.extend([int(span.version)] * (span.end - span.start))
    return tuple(versions)
