"""Write chats as a model's chat template does. A template is a program of its author: it runs within limits."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from contracts.errors import BadInput
from driver.problems.control_tokens import ControlTokens
from driver.problems.limited_calls import CPU_SECONDS, CallFailed, LimitedCalls
from driver.problems.template_inputs import TemplateFacts, TemplateInputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Chat = Sequence[dict[str, str]]

_PROBE = "Probe9173"
"""Stands for a question where it is tried what a template makes of one."""


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
        inputs, text = inputs or TemplateInputs(), _text(tokenizer)
        facts = TemplateFacts.of(text)
        self._control_tokens = ControlTokens(tokenizer, text)
        self._takes_parts: bool | None = None  # None: not tried yet
        self.day = inputs.day if facts.uses_date else None
        """Date that is in what the template writes; None where it writes none."""
        self.unknown_arguments = facts.unknown(inputs.arguments)
        """Arguments of the config that the template does not read."""
        self._calls = LimitedCalls(partial(_apply, tokenizer, facts.given(inputs)), cpu_seconds=cpu_seconds)

    def render(self, chat: Chat, *, section: str, is_open: bool) -> str:
        """Return the chat as a text for `encode`; an open chat ends where the assistant's answer begins.

        Control tokens that a question spells are marked: they stay text. The system message is sent as it is.

        Raises:
            BadInput: the template refuses the chat, fails, leaves the question out, or needs too much time or memory.
                `section` of the config names it.
        """
        if self._takes_parts is None:
            self._takes_parts = self._find_form(section)
        marked = [
            message | {"content": self._control_tokens.marked(message["content"])}
            if message["role"] != "system"
            else message
            for message in chat
        ]
        return self._rendered(marked, section=section, is_open=is_open, in_parts=self._takes_parts)

    def encode(self, rendered: str) -> tuple[int, ...]:
        """Return the tokens [T] of what `render` returned, or of a part of it."""
        return tuple(self._control_tokens.encode(rendered))

    def check_keeps(self, roles: Sequence[str], *, section: str) -> None:
        """Check that the template writes every message of a chat with these roles.

        Raises:
            BadInput: it leaves one out.
        """
        chat = [{"role": role, "content": f"{_PROBE}{number}."} for number, role in enumerate(roles)]
        rendered = self.render(chat, section=section, is_open=True)
        for message in chat:
            if message["content"] not in rendered:
                raise BadInput(
                    f"the {section}'s chat template leaves out the message of the {message['role']} in a chat of "
                    f"{', '.join(roles)}; give another one with {section}.chat_template"
                    + ("; or leave prompt.system out" if message["role"] == "system" else ""),
                    key="prompt.system" if message["role"] == "system" else f"{section}.chat_template",
                )

    def _find_form(self, section: str) -> bool:
        """Return whether the template wants a message as a list of parts, and not as a text.

        Raises:
            BadInput: it fails, or writes the question in neither form.
        """
        chat = [{"role": "user", "content": _PROBE}]
        failure: BadInput | None = None
        for in_parts in (False, True):
            try:
                rendered = self._rendered(chat, section=section, is_open=True, in_parts=in_parts)
                if _PROBE in rendered and "'type'" not in rendered:  # it is there when a list is written as it is
                    return in_parts
            except BadInput as error:
                failure = failure or error
        raise failure or BadInput(
            f"the {section}'s chat template leaves the question out: what it writes does not hold the user's message; "
            f"correct it, or give another one with {section}.chat_template",
            key=f"{section}.chat_template",
        )

    def _rendered(self, chat: Chat, *, section: str, is_open: bool, in_parts: bool) -> str:
        try:
            return self._calls([_in_parts(message) for message in chat] if in_parts else list(chat), is_open)
        except CallFailed as error:
            has_system = any(message["role"] == "system" for message in chat)
            hint = "; it may know no system role: leave prompt.system out" if has_system and error.classes else ""
            raise BadInput(
                f"the {section}'s chat template fails: {error}; correct it, or give another one with "
                f"{section}.chat_template{hint}",
                key=f"{section}.chat_template",
            ) from None


def _in_parts(message: Mapping[str, str]) -> dict[str, object]:
    """Return a message as templates of models with images want it."""
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _apply(
    tokenizer: "PreTrainedTokenizerBase", given: Mapping[str, object], chat: list[dict[str, object]], is_open: bool
) -> str:
    apply = cast("Callable[..., str]", tokenizer.apply_chat_template)
    return apply(chat, tokenize=False, add_generation_prompt=is_open, **given)


def _text(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the text of the template that is used; of several that a tokenizer has, the default one."""
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) else ""
