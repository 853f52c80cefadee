"""Ask lm-evaluation-harness the items of our side, with the package's own tasks, filters and model class.

    .venv-eval-check/bin/python benchmarks/eval_check/package_side.py FOLDER

This program runs in an environment of its own (requirements/eval-check.txt) and imports nothing of the project. It
reads FOLDER/ours.json and writes FOLDER/package.json. Nothing is fetched: the rows of every task are those of our side.
XCOPA and Belebele are asked in the package's words. MGSM is asked in our words, a chat, because the package has another
prompt; its filters, which find the answer, are the package's own.
"""

import argparse
import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import Dataset
from lm_eval import simple_evaluate, tasks
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

FILES = {
    "mgsm": "mgsm/native_cot/mgsm_native_cot_{language}.yaml",
    "xcopa": "xcopa/default_{language}.yaml",
    "belebele": "belebele/belebele_{set_name}.yaml",
}
"""The package's own task of a set in one language."""
PER_CHARACTER = ("acc", "acc_norm")
TASK_FOLDER = Path(tasks.__file__).parent


def main() -> None:
    """Ask for every item, and write what the package answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    warnings.filterwarnings("ignore")
    for name in ("lm_eval", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)  # two threads wait for each other at every layer where the machine has other work
    ours = json.loads((folder / "ours.json").read_text(encoding="utf-8"))
    model = HFLM(
        pretrained=ours["model"], tokenizer=ours["model"], dtype="float32", device="cpu", batch_size=8, max_length=2048
    )
    found = {}
    for task in ours["tasks"]:
        num_items = sum(len(asked["items"]) for asked in task["languages"])
        print(f"lm_eval: {task['task']}, {num_items} items in {len(task['languages'])} languages ...", flush=True)
        configs = [task_config(task["task"], asked, max_tokens=ours["max_tokens"]) for asked in task["languages"]]
        samples = simple_evaluate(model, tasks=configs, log_samples=True, bootstrap_iters=0)["samples"]
        found[task["task"]] = {
            asked["language"]: read_samples(samples[config["task"]], asked["items"], model)
            for asked, config in zip(task["languages"], configs, strict=True)
        }
    written = {"version": version("lm_eval"), "tasks": found}
    (folder / "package.json").write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")


def task_config(name: str, asked: dict, *, max_tokens: int) -> dict:
    """Return the package's own task of a set, with the rows of our side in place of the hub's."""
    file = TASK_FOLDER / FILES[name].format(language=asked["language"], set_name=asked["set_name"])
    config = dict(load_yaml(file, resolve_func=True))
    rows = Dataset.from_list([{**item["row"], "prompt": item.get("prompt", "")} for item in asked["items"]])
    config |= {"custom_dataset": lambda **_: {"test": rows}, "test_split": "test", "num_fewshot": 0}
    for key in ("dataset_path", "dataset_name", "tag", "training_split", "validation_split", "fewshot_split"):
        config.pop(key, None)
    config.pop("fewshot_config", None)
    if name == "mgsm":
        config |= {
            "doc_to_text": "{{prompt}}",
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"do_sample": False, "until": [], "max_gen_toks": max_tokens},
        }
    else:
        config["metric_list"] = [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in PER_CHARACTER
        ]
    return config


def read_samples(samples: list[dict], items: list[dict], model: HFLM) -> list[dict]:
    """Return the answers of one language, an entry for each item; filters of one item are put together."""
    found: list[dict] = [{} for _ in items]
    for sample in samples:
        entry = found[sample["doc_id"]]
        if "acc" in sample:
            entry["choices"] = [list(argument) for argument in sample["arguments"]]
            entry["logprobs"] = [response[0][0] for response in sample["resps"]]
            entry |= {"is_correct": bool(sample["acc"]), "is_correct_by_length": bool(sample["acc_norm"])}
            continue
        entry["prompt_token_ids"] = model.tok_encode(sample["arguments"][0][0])
        entry["response"] = sample["resps"][0][0]
        entry["gap"] = gap_where_they_part(
            model, sample["arguments"][0][0], items[sample["doc_id"]]["response"], entry["response"]
        )
        read = {"answer": sample["filtered_resps"][0], "is_correct": bool(sample["exact_match"])}
        entry.setdefault("filters", {})[sample["filter"]] = read
    return found


def gap_where_they_part(model: HFLM, prompt: str, ours: str, theirs: str) -> float | None:
    """Return how much likelier the package's next token is than ours where two responses part, in nats.

    None where they do not part. Greedy decoding may take either of two tokens that are equally likely.
    """
    end = model.tokenizer.eos_token_id
    if ours.strip() == theirs.strip():
        return None
    one, other = ([*model.tok_encode(prompt + response.rstrip()), end] for response in (ours, theirs))
    place = next(index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    with torch.no_grad():
        logprobs = model.model(torch.tensor([one[:place]])).logits[0, -1].float().log_softmax(-1)
    return float(logprobs[other[place]] - logprobs[one[place]])


if __name__ == "__main__":
    main()
