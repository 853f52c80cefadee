"""Make the tokens of what an item asks: a chat for a response, or contexts and continuations for log-likelihoods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from contracts.errors import BadInput
from driver.evaluation.asking.wording import ItemWording, shots_for
from driver.evaluation.sets.item import Choice, Item, WorkedItem
from driver.problems.chat_template import ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Tokens = tuple[int, ...]


@dataclass(kw_only=True)
class ChatPrompts:
    """Make the prompts of one task whose answers are generated."""

    template: ChatTemplate
    wording: ItemWording
    worked: Mapping[str, Sequence[WorkedItem]]  # by language
    num_shots: int
    max_prompt_tokens: int
    when_too_long: Literal["fewer", "refuse"] = "refuse"
    fewer: dict[str, int] = field(default_factory=dict)
    """Items by key that got fewer worked examples than asked for, with the number that they got."""

    def prompt(self, item: Item) -> Tokens:
        """Return the prompt [T] of an item, with as many of the worked examples as fit, if the settings allow fewer.

        Raises:
            BadInput: the prompt leaves no room for a response, or the chat template refuses it.
        """
        shots = list(shots_for(item, self.worked.get(item.language, ()), self.num_shots))
        if len(shots) < self.num_shots:
            raise BadInput(
                f"task {item.task}: {self.num_shots} worked examples were asked for, and the set has {len(shots)} in "
                f"{item.language!r}" + (f" for {item.category}" if item.category else ""),
                key="evaluation.shots",
            )
        while True:
            tokens = self._encoded(item, shots)
            if len(tokens) <= self.max_prompt_tokens:
                if len(shots) < self.num_shots:
                    self.fewer[item.key] = len(shots)
                return tokens
            if not shots or self.when_too_long == "refuse":
                raise BadInput(
                    f"task {item.task}, item {item.item_id} in {item.language!r}: the prompt has {len(tokens)} tokens, "
                    f"and policy.max_model_len less evaluation.max_response_tokens leaves {self.max_prompt_tokens}; "
                    "raise the first, or lower the second or evaluation.shots"
                    + ('; evaluation.shots_too_long = "fewer" leaves examples out' if shots else ""),
                    key="policy.max_model_len",
                )
            shots.pop()

    def _encoded(self, item: Item, shots: Sequence[WorkedItem]) -> Tokens:
        chat = self.wording.chat(item, shots)
        return self.template.encode(self.template.render(chat, section="policy", is_open=True))


@dataclass(frozen=True, kw_only=True)
class ChoicePrompts:
    """Make the tokens of contexts and continuations, as plain text without a chat template."""

    tokenizer: "PreTrainedTokenizerBase"
    max_model_len: int

    def pair(self, item: Item, choice: Choice) -> tuple[Tokens, Tokens]:
        """Return the tokens of a context [P] and of what is scored after it [A].

        Both are encoded as one text, because a token may hold the space before a word. An empty context is the
        tokenizer's first token.

        Raises:
            BadInput: together they are longer than the model's context.
        """
        context = choice.context.rstrip()
        continuation = choice.context[len(context) :] + choice.continuation
        before, whole = self._encode(context), self._encode(context + continuation)
        before = before or self._first()
        if not context:
            whole = (*before, *whole) if whole[: len(before)] != before else whole
        scored = whole[len(before) :]
        if not scored:
            raise BadInput(
                f"task {item.task}, item {item.item_id} in {item.language!r}: there is nothing to score after the "
                "context",
                key="likelihood.continuation",
            )
        if len(whole) >= self.max_model_len:  # the engine draws one more token
            raise BadInput(
                f"task {item.task}, item {item.item_id} in {item.language!r} has {len(whole)} tokens, and "
                f"policy.max_model_len is {self.max_model_len}; raise it",
                key="policy.max_model_len",
            )
        return whole[: len(before)], scored

    def _encode(self, text: str) -> Tokens:
        encode = cast("Callable[[str], list[int]]", self.tokenizer.encode)
        return tuple(encode(text)) if text else ()

    def _first(self) -> Tokens:
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if isinstance(token, int):
                return (token,)
        raise BadInput("policy.model: its tokenizer has neither a first nor a last token", key="policy.model")
