"""Make prompt token ids of a problem: chat messages in the question's language, the chat template, the tokenizer.

The template is rendered to text with the special tokens that it writes, and the text is encoded without adding any, so
that no special token is there twice. An answer to be imitated ends as the template ends an assistant's turn: an engine
stops there, so it could have drawn exactly these tokens.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from contracts.config.data import Exemplar, PromptConfig
from contracts.errors import BadInput
from contracts.model_names import name_and_revision
from contracts.paths import absolute
from contracts.rollouts import Problem
from contracts.user_files import guarded, read_user_text
from driver.problems.builtin.generate import exemplars as builtin_exemplars
from driver.problems.chat_template import ChatTemplate
from driver.problems.template_inputs import TemplateInputs
from driver.problems.wording import Wording, WorkedExample
from languages.facts import LANGUAGES
from languages.language import Language

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN = 60  # characters of a question that a message repeats


class PromptTooLong(BadInput):
    """Report a prompt that leaves no room for a response."""

    def __init__(self, message: str, *, key: str, num_tokens: int, room: int) -> None:
        super().__init__(message, key=key)
        self.num_tokens = num_tokens  # of the prompt
        self.room = room  # tokens that it may have


class Prompter:
    """Make the prompts of one tokenizer: the policy's (any language) or the pivot's (English)."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        config: PromptConfig,
        *,
        exemplars: Mapping[str, Sequence[WorkedExample]],
        max_prompt_tokens: int,
        inputs: TemplateInputs | None = None,
    ) -> None:
        """Prepare the prompts; `exemplars` holds, per language, at least `config.num_exemplars` worked examples.

        `inputs` are the arguments of the chat template and the date, by default none and the clock's.
        """
        self._tokenizer = tokenizer
        self.template = ChatTemplate(tokenizer, inputs)
        self._config = config
        self._system = config.system
        self._num_exemplars = config.num_exemplars
        self._exemplars = exemplars
        self._max_prompt_tokens = max_prompt_tokens

    @property
    def room(self) -> int:
        """Return the tokens of the longest prompt that leaves room for a response."""
        return self._max_prompt_tokens

    def prompt_token_ids(self, problem: Problem) -> tuple[int, ...]:
        """Return the policy's prompt [T]: the question in its own language.

        Raises:
            PromptTooLong: the prompt leaves no room for a response.
            BadInput: the chat template refuses it.
        """
        token_ids = self._encode(problem.question, LANGUAGES[problem.language], "policy")
        self._check_length(token_ids, f"item {problem.item_id!r} in {problem.language!r}", "policy")
        return token_ids

    def reference_prompt(self, question_en: str) -> tuple[int, ...]:
        """Return the pivot's prompt [T]: the English question, which is the same for all languages of an item.

        Raises:
            PromptTooLong: the prompt leaves no room for a response.
            BadInput: the chat template refuses it.
        """
        token_ids = self._encode(question_en, LANGUAGES["en"], "pivot")
        shown = question_en if len(question_en) <= _SHOWN else question_en[:_SHOWN] + "..."
        self._check_length(token_ids, f"the English question {shown!r}", "pivot")
        return token_ids

    def teacher_prompt(self, problem: Problem, solution_en: str) -> tuple[int, ...]:
        """Return the prompt [T] of a teacher who knows the pivot's solution, which stands before the question.

        The English question and its solution are an earlier turn, as a worked example is. The prompt may be longer than
        the policy's own may be: no engine reads it.

        Raises:
            BadInput: the chat template refuses it.
        """
        chat = self.messages(problem.question, LANGUAGES[problem.language])
        asked = Wording.of(self._config, LANGUAGES["en"]).ask(problem.question_en)
        shown = [{"role": "user", "content": asked}, {"role": "assistant", "content": solution_en}]
        return self.template.encode(
            self.template.render([*chat[:-1], *shown, chat[-1]], section="policy", is_open=True)
        )

    def answer_token_ids(self, problem: Problem, answer: str) -> tuple[int, ...]:
        """Return an answer as the policy would have to draw it after the prompt, end of sequence included [T].

        This is what the chat template writes behind the prompt for an assistant's turn, up to the last end of sequence.
        If the template writes an assistant's turn in another way than it opens one, it is the text as it is.

        Raises:
            BadInput: the chat template refuses the turn, or the tokenizer has no end-of-sequence token.
        """
        end = self._tokenizer.eos_token_id
        if not isinstance(end, int):
            raise BadInput(
                "policy.model: its tokenizer has no end-of-sequence token, so supervised fine-tuning can't mark "
                "the end of an answer; choose another model",
                key="policy.model",
            )
        chat = self.messages(problem.question, LANGUAGES[problem.language])
        prompt = self.template.render(chat, section="policy", is_open=True)
        whole = self.template.render([*chat, {"role": "assistant", "content": answer}], section="policy", is_open=False)
        turn = whole.removeprefix(prompt).rstrip() if whole.startswith(prompt) else answer
        token_ids = self.template.encode(turn)
        if end in token_ids:
            return token_ids[: len(token_ids) - token_ids[::-1].index(end)]
        return (*token_ids, end)

    def messages(self, question: str, language: Language) -> list[dict[str, str]]:
        """Return the chat: the system message if any, worked examples as earlier turns, and the question."""
        wording = Wording.of(self._config, language)
        chat = [{"role": "system", "content": self._system}] if self._system else []
        for example in self._examples_in(language):
            chat.append({"role": "user", "content": wording.ask(example.question)})
            chat.append({"role": "assistant", "content": wording.solve(example)})
        return [*chat, {"role": "user", "content": wording.ask(question)}]

    def closing_of_thinking(self, token_ids: Sequence[int], markers: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Return the tokens that close the thinking which is open at the end of `token_ids` [T].

        Of the pairs of markers it is the one whose opening marker comes last; without any, the first pair.
        """
        text = cast("str", self._tokenizer.decode(list(token_ids), skip_special_tokens=False))
        _, closing = max(markers, key=lambda pair: text.rfind(pair[0]))
        return tuple(self._tokenizer.encode(f"\n{closing}\n\n", add_special_tokens=False))

    def check_template(self, section: str) -> None:
        """Check that the chat template of a section writes all messages of a prompt.

        Raises:
            BadInput: it leaves one out.
        """
        system = ["system"] if self._system else []
        self.template.check_keeps([*system, *("user", "assistant") * self._num_exemplars, "user"], section=section)

    def _examples_in(self, language: Language) -> Sequence[WorkedExample | Exemplar]:
        own = self._config.exemplars.get(language.code)
        examples = (self._exemplars.get(language.code, ()) if own is None else own)[: self._num_exemplars]
        if len(examples) < self._num_exemplars:
            raise BadInput(
                f"{self._num_exemplars} worked examples were asked for, but {language.name} has only "
                f"{len(examples)}; lower num_exemplars, or give more in prompt.exemplars.{language.code}",
                key="prompt.num_exemplars",
            )
        return examples

    def _encode(self, question: str, language: Language, section: str) -> tuple[int, ...]:
        text = self.template.render(self.messages(question, language), section=section, is_open=True)
        return self.template.encode(text)

    def _check_length(self, token_ids: tuple[int, ...], what: str, section: str) -> None:
        if len(token_ids) > self._max_prompt_tokens:
            raise PromptTooLong(
                f"{what}: the prompt has {len(token_ids)} tokens, and {section}.max_model_len less "
                f"{section}.max_response_tokens leaves {self._max_prompt_tokens}; raise the first, or lower the second "
                "or the number of worked examples",
                key=f"{section}.max_model_len",
                num_tokens=len(token_ids),
                room=self._max_prompt_tokens,
            )


def worked_examples(
    languages: Sequence[str], *, num: int, levels: Sequence[int]
) -> Mapping[str, Sequence[WorkedExample]]:
    """Return the built-in set's worked examples by language; they are in neither its train nor its test split."""
    return {language: builtin_exemplars(language, num=num, levels=levels) for language in languages} if num else {}


def load_tokenizer(
    model: str, *, chat_template: str | None, trust_remote_code: bool, section: str = "policy"
) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a local folder or hub name, with its own chat template or that of a file.

    Raises:
        BadInput: no such model, no tokenizer in it, or no chat template. `section` of the config names the model.
    """
    tokenizer = plain_tokenizer(model, trust_remote_code=trust_remote_code, section=section)
    if chat_template:
        tokenizer.chat_template = _read_template(chat_template, section)
    if not tokenizer.chat_template:
        raise BadInput(
            f"{section}.model = {model!r}: its tokenizer has no chat template; give a file with one, such as "
            f"{section}.chat_template=template.jinja",
            key=f"{section}.chat_template",
        )
    return tokenizer


def plain_tokenizer(model: str, *, trust_remote_code: bool, section: str) -> "PreTrainedTokenizerBase":
    """Load the tokenizer as it is, with a chat template or without.

    Raises:
        BadInput: no such model, or no tokenizer in it.
    """
    # This import loads torch, which takes seconds: code that only builds messages does not need it.
    from transformers import AutoTokenizer  # noqa: PLC0415

    name, revision = name_and_revision(model)
    with guarded(
        f"{section}.model = {model!r}: no tokenizer can be loaded",
        key=f"{section}.model",
        way_out="give a folder that holds one, or the name of a model on the Hugging Face hub that this machine can "
        "reach",
    ):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
        words = tokenizer.get_vocab().keys() - {"▁", *tokenizer.all_special_tokens}
    if not words:  # what transformers makes where a folder has a config.json and no tokenizer
        raise BadInput(
            f"{section}.model = {model!r}: its tokenizer has special tokens only; give a folder that holds the "
            "model's tokenizer.json",
            key=f"{section}.model",
        )
    return tokenizer


def _read_template(path: str, section: str) -> str:
    return read_user_text(absolute(path), key=f"{section}.chat_template")
