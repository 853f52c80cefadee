"""Check requests before vLLM gets them. Must not import vLLM."""

from contracts.rollouts import AnswerProbabilityRequest, SamplingRequest


def check_request(request: SamplingRequest, *, max_model_len: int) -> None:
    """Refuse a request that vLLM would refuse, or cut short without an error. `max_model_len` is in tokens.

    Raises:
        ValueError: the request is empty, or too long for the model.
    """
    length = len(request.prompt_token_ids)
    if not length or not request.seeds or request.max_tokens < 1 or request.temperature < 0:
        raise ValueError(
            f"request {request.request_id} has {length} prompt tokens, {len(request.seeds)} seeds, max_tokens "
            f"{request.max_tokens} and temperature {request.temperature:g}; the first three must be at least 1, the "
            "temperature at least 0"
        )
    if length + request.max_tokens > max_model_len:
        raise ValueError(
            f"request {request.request_id}: a prompt of {length} tokens leaves no room for a response of "
            f"{request.max_tokens} in max_model_len {max_model_len}; shorten the prompt or raise max_model_len"
        )


def check_answer_request(request: AnswerProbabilityRequest) -> None:
    """Refuse a request without prompt or answer tokens. A prompt that is too long is allowed: its value is NaN.

    Raises:
        ValueError: a prompt or the answer is empty.
    """
    if not request.prompts or not all(request.prompts) or not request.answer_token_ids:
        shortest = min((len(prompt) for prompt in request.prompts), default=0)
        raise ValueError(
            f"request {request.request_id} has {len(request.prompts)} prompts, the shortest of {shortest} tokens, and "
            f"an answer of {len(request.answer_token_ids)} tokens; each must be at least 1"
        )
