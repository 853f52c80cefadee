"""Stand in for a tokenizer with a chat template, whose arguments its text shows."""

from collections.abc import Sequence


class RenderedChat:
    """Tokenize into characters."""

    eos_token_id = 0
    chat_template = "{{ messages }}{{ enable_thinking }}"

    def apply_chat_template(self, chat: Sequence[dict[str, str]], **arguments: object) -> str:
        turns = "".join(f"<{turn['role']}>{turn['content']}" for turn in chat)
        return f"{turns}<thinks>" if arguments.get("enable_thinking") else turns

    def encode(self, text: str, **_: object) -> list[int]:
        return [ord(character) for character in text]
