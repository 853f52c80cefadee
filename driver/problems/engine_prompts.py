"""Make the prompts of an engine's model, and check that its context is long enough for them."""

from typing import Literal, cast

from contracts.config.data import BuiltinData, LogicData
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.model_config import longest_context, read_model_config
from contracts.stop_tokens import Encoder, token_ids_of
from driver.problems.builtin.texts.templates import LEVELS
from driver.problems.logic.prompt import for_logic
from driver.problems.model_weights import check_weights
from driver.problems.prompts import Prompter, load_tokenizer, plain_tokenizer, worked_examples
from driver.problems.template_inputs import TemplateInputs


def engine_prompter(
    config: Config, section: Literal["policy", "pivot"], *, needs_template: bool = True
) -> tuple[Prompter, int]:
    """Return the prompts of an engine, and the id of the token that its learner pads with.

    Args:
        config: with absolute paths.
        section: of the engine.
        needs_template: a model without a chat template is refused; without it, only plain texts can be asked for.

    Raises:
        BadInput: the model, its tokenizer or its chat template can't be used.
    """
    engine = config.policy if section == "policy" else config.pivot
    num = config.prompt.num_exemplars if section == "policy" else config.pivot.num_exemplars
    languages = (
        dict.fromkeys((*config.data.languages, *config.evaluation_languages)) if section == "policy" else ("en",)
    )
    check_context(engine.model, engine.max_model_len, section=section, context=section)
    check_weights(engine.model, key=f"{section}.model")
    levels = config.data.levels if isinstance(config.data, BuiltinData) else LEVELS
    if needs_template:
        tokenizer = load_tokenizer(
            engine.model,
            chat_template=engine.chat_template,
            trust_remote_code=engine.trust_remote_code,
            section=section,
        )
    else:
        tokenizer = plain_tokenizer(engine.model, trust_remote_code=engine.trust_remote_code, section=section)
    token_ids_of(cast("Encoder", tokenizer), engine.stop_tokens, key=f"{section}.stop_tokens")
    builtin = tuple(code for code in languages if code not in config.prompt.exemplars)
    wording = config.prompt.model_copy(update={"num_exemplars": num})
    if isinstance(config.data, LogicData):
        wording = for_logic(wording, languages, num=num)
    prompter = Prompter(
        tokenizer,
        wording,
        exemplars=worked_examples(builtin, num=num, levels=levels),
        max_prompt_tokens=engine.max_model_len - engine.max_response_tokens,
        inputs=TemplateInputs.of(engine, config.run),
    )
    if needs_template:
        prompter.check_template(section)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return prompter, pad if isinstance(pad, int) else 0


def check_context(model: str, max_model_len: int, *, section: str, context: str) -> None:
    """Refuse a context that is longer than a local model was made for.

    A model that is not on this machine is checked by vLLM when it is loaded.

    `section` names the model, `context` the section whose max_model_len it is.

    Raises:
        BadInput: the context is too long (the message has both numbers), or the folder's config.json can't be read.
    """
    facts = read_model_config(model, key=f"{section}.model")
    limit = None if facts is None else longest_context(facts)
    if limit is not None and max_model_len > limit:
        raise BadInput(
            f"{context}.max_model_len {max_model_len} is longer than the context of {section}.model {model!r}, "
            f"{limit} tokens",
            key=f"{context}.max_model_len",
        )
