"""Write chats as a model's chat template does. A template is a program of its author: it runs within limits."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from contracts.errors import BadInput
from driver.problems.limited_calls import CPU_SECONDS, CallFailed, LimitedCalls
from driver.problems.template_inputs import TemplateFacts, TemplateInputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Chat = Sequence[dict[str, str]]


class ChatTemplate:
    """Render the chat template of a tokenizer, in a process of its own."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        inputs: TemplateInputs | None = None,
        *,
        cpu_seconds: int = CPU_SECONDS,
    ) -> None:
        """Prepare the template; `inputs` are its arguments and the date, by default none and the clock's."""
        inputs = inputs or TemplateInputs()
        facts = TemplateFacts.of(_text(tokenizer))
        self.day = inputs.day if facts.uses_date else None
        """Date that is in what the template writes; None where it writes none."""
        self.unknown_arguments = facts.unknown(inputs.arguments)
        """Arguments of the config that the template does not read."""
        self._calls = LimitedCalls(partial(_apply, tokenizer, facts.given(inputs)), cpu_seconds=cpu_seconds)

    def render(self, chat: Chat, *, section: str, is_open: bool) -> str:
        """Return the chat as text; an open chat ends where the assistant's answer begins.

        Raises:
            BadInput: the template refuses the chat, fails, or needs too much time or memory. `section` of the config
                names it.
        """
        try:
            return self._calls(list(chat), is_open)
        except CallFailed as error:
            has_system = any(message["role"] == "system" for message in chat)
            hint = "; it may know no system role: leave prompt.system out" if has_system and error.classes else ""
            raise BadInput(
                f"the {section}'s chat template fails: {error}; correct it, or give another one with "
                f"{section}.chat_template{hint}",
                key=f"{section}.chat_template",
            ) from None


def _apply(
    tokenizer: "PreTrainedTokenizerBase", given: Mapping[str, object], chat: list[dict[str, str]], is_open: bool
) -> str:
    apply = cast("Callable[..., str]", tokenizer.apply_chat_template)
    return apply(chat, tokenize=False, add_generation_prompt=is_open, **given)


def _text(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the text of the template that is used; of several that a tokenizer has, the default one."""
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) else ""
