"""Read the config.json of a model folder: how long its context is, and what rules it out as a policy.

Only the file is read: nothing is loaded. Keys are those of Hugging Face configs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from contracts.errors import BadInput
from contracts.model_names import name_and_revision
from contracts.user_files import read_user_json

Facts = Mapping[str, object]

_NUM_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
_LOGIT_CHANGES: Mapping[str, float | None] = {
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0,
    "output_multiplier": 1.0,
    "final_logit_softcapping": None,
}
"""Keys with which some model families change the head's logits, and the values that change nothing."""
_PACKABLE_LAYERS = {"full_attention", "sliding_attention"}
"""Layers that keep the sequences of a row apart. A convolution or a recurrent state would go on into the next one."""
_SCALED_BY_FACTOR = ("linear", "dynamic")
"""RoPE scalings whose `max_position_embeddings` is the length before scaling, in every folder."""
_HEAD_ROWS = 64
"""vLLM pads a head to a multiple of so many rows."""
_OLD_GPTQ = "quantize_config.json"


def read_model_config(model: str, *, key: str) -> Facts | None:
    """Return the config.json of a local folder, or of a hub's model that was downloaded; None for any other model.

    Raises:
        BadInput: the folder has none, or it can't be read.
    """
    file = Path(model) / "config.json" if Path(model).is_dir() else _downloaded(model)
    if file is None:
        return None
    found = read_user_json(file, key=key, way_out="give the folder of a model")
    if not isinstance(found, dict):
        raise BadInput(f"{file} holds a {type(found).__name__}; it must hold the settings of a model", key=key)
    return found


def _downloaded(model: str) -> Path | None:
    """Return the config.json of a hub's model in the hub's cache; None where it isn't there."""
    name, revision = name_and_revision(model)
    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None  # no name that a hub knows: loading it says so
    return Path(found) if isinstance(found, str) else None


def longest_context(facts: Facts) -> int | None:
    """Return the most tokens that a model reads, scaled as its RoPE settings say; None if the config does not say.

    YaRN (arXiv 2309.00071) reaches `factor` times its original length, also where `max_position_embeddings` still has
    the length before scaling. Where the original length is left out, `max_position_embeddings` counts.
    """
    limit = facts.get("max_position_embeddings", facts.get("n_positions"))  # the second is GPT-2's name
    if not _is_count(limit):
        return None
    longest = float(limit)
    for rope in _rope_settings(facts):
        kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
        if not isinstance(factor, int | float) or isinstance(factor, bool):
            continue
        if kind in _SCALED_BY_FACTOR:
            longest = limit * factor
        elif kind == "yarn" and _is_count(original := rope.get("original_max_position_embeddings")):
            longest = max(limit, factor * original)
    return int(longest)


def is_yarn(facts: Facts) -> bool:
    """Return whether YaRN scales the model's positions."""
    return any(rope.get("rope_type", rope.get("type")) == "yarn" for rope in _rope_settings(facts))


def why_untrainable(facts: Facts) -> str | None:
    """Return why a model can't be a policy, as the end of a sentence that begins with its name; None if it can.

    This covers what a config says by itself. What the learner's code does not support is in `actors/learning`.
    """
    if quantised := facts.get("quantization_config", facts.get("compression_config")):
        kind = quantised.get("quant_method", "unknown") if isinstance(quantised, Mapping) else "unknown"
        return (
            f"has quantised weights ({kind}), and training needs full ones; choose the model that it was made from (a "
            "pivot may be quantised)"
        )
    for name in _NUM_EXPERTS:
        value = facts.get(name)
        counts = value if isinstance(value, list) else [value]
        if any(_is_count(count) and count > 1 for count in counts):
            return (
                f"is a mixture of experts ({name} = {value}): an adapter would leave fused experts out, and their "
                "weights can't be sent to vLLM by name; choose a dense model (a pivot may have experts)"
            )
    if any(rope.get("rope_type", rope.get("type")) == "dynamic" for rope in _rope_settings(facts)):
        return (
            'has RoPE scaling "dynamic", which vLLM and transformers compute differently; choose another model, or '
            "another rope_scaling in a copy of its config.json"
        )
    if isinstance(facts.get("text_config"), Mapping):
        return "is more than a text model (text_config), and the learner trains text models only; choose another model"
    for name, harmless in _LOGIT_CHANGES.items():
        if (value := facts.get(name, harmless)) not in (harmless, None):
            return f"has {name} = {value}, and the learner supports plain logits only; choose another model"
    layers = facts.get("layer_types")
    if others := {str(layer) for layer in (layers if isinstance(layers, list) else ())} - _PACKABLE_LAYERS:
        names = ", ".join(sorted(others))
        return f"has layers ({names}) that would mix the sequences of a packed row; choose another model"
    return None


def why_indivisible(facts: Facts, num_parts: int) -> str | None:
    """Return why vLLM can't split a model over so many GPUs, as the end of a sentence; None if it can.

    Attention heads, the rows of the head (padded to a multiple of 64) and the width of an MLP are divided. Key and
    value heads are divided too, or each is held by the same number of GPUs.
    """
    own = facts.get("text_config", facts)
    text = own if isinstance(own, Mapping) else facts
    heads, kv_heads = text.get("num_attention_heads"), text.get("num_key_value_heads")
    vocabulary = text.get("vocab_size")
    rows = -(-vocabulary // _HEAD_ROWS) * _HEAD_ROWS if _is_count(vocabulary) else None
    for what, count in (
        ("attention heads", heads),
        ("rows in its padded head", rows),
        ("values in an MLP (intermediate_size)", text.get("intermediate_size")),
    ):
        if _is_count(count) and count % num_parts:
            return f"has {count} {what}, which {num_parts} GPUs can't divide"
    if _is_count(kv_heads) and kv_heads and kv_heads % num_parts and num_parts % kv_heads:
        return f"has {kv_heads} key and value heads, which {num_parts} GPUs can neither divide nor share"
    return None


def check_trainable(model: str, *, key: str) -> None:
    """Refuse a model that can't be a policy; one that isn't on this machine is checked when the learner loads it.

    Raises:
        BadInput: it can't, with the reason.
    """
    facts = read_model_config(model, key=key)
    if facts is None:
        return
    why = why_untrainable(facts)
    if why is None and (Path(model) / _OLD_GPTQ).exists():
        why = f"has quantised weights ({_OLD_GPTQ}), and training needs full ones; choose the model it was made from"
    if why is not None:
        raise BadInput(f"{key} = {model!r} {why}", key=key)


def check_heads(facts: Facts, model: str, *, num_ranks: int) -> None:
    """Refuse a model whose attention heads can't be divided over the ranks that split a row.

    Each rank gets equally many query heads, and the key heads that they read. With fewer key heads than ranks, several
    ranks get the same one. What a config does not say is not checked.

    Raises:
        BadInput: the heads can't be divided, or values are not as wide as queries, as DeepSpeed's exchange needs them.
    """
    if num_ranks > 1 and facts.get("v_head_dim") is not None:
        raise BadInput(
            f"learner.sequence_parallel_size {num_ranks} needs values as wide as queries, and {model} has a width of "
            "its own for them (v_head_dim); set it to 1",
            key="learner.sequence_parallel_size",
        )
    heads = facts.get("num_attention_heads", facts.get("n_head"))  # the second is GPT-2's name
    key_heads = facts.get("num_key_value_heads") or heads
    if not (_is_count(heads) and _is_count(key_heads)):
        return
    possible = [n for n in range(1, heads + 1) if heads % n == 0 and (key_heads % n == 0 or n % key_heads == 0)]
    if num_ranks not in possible:
        raise BadInput(
            f"learner.sequence_parallel_size {num_ranks} can't divide the {heads} attention heads and {key_heads} key "
            f"heads of {model}; choose one of {', '.join(map(str, possible))}",
            key="learner.sequence_parallel_size",
        )


def _rope_settings(facts: Facts) -> Iterator[Mapping[str, object]]:
    """Yield the RoPE settings of the model: one, or one for each kind of layer."""
    found = facts.get("rope_parameters") or facts.get("rope_scaling")
    if not isinstance(found, Mapping):
        return
    if "rope_type" in found or "type" in found:
        yield found
    else:
        yield from (settings for settings in found.values() if isinstance(settings, Mapping))


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
