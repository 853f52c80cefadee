"""Compare both sides item by item: exit code 1 if a log-likelihood differs, or an item does without a known reason.

    python -m benchmarks.eval_check.compare FOLDER

Log-likelihoods of the same text must agree within 1e-3 nats. Responses are graded twice: the package's verdict on its
own response is set beside ours on that same response, so that a difference is one of grading alone.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.eval_check.reasons import TOLERANCE, difference_in_choice, difference_in_grade, difference_in_tokens
from driver.evaluation.grading import grade
from driver.evaluation.sets.item import Item

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Hold one item as both sides answered it."""

    task: str
    language: str
    ours: Record
    theirs: Record

    @property
    def name(self) -> str:
        """Return the item's name in the list."""
        return f"{self.task}/{self.language}/{self.ours['item_id']}"


def main() -> int:
    """Compare everything. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    ours = json.loads((folder / "ours.json").read_text(encoding="utf-8"))
    theirs = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    print(f"lm_eval {theirs['version']}, {Path(ours['model']).name}, float32 on both sides")
    failures = []
    for task in ours["tasks"]:
        pairs = list(_pairs(task, theirs["tasks"][task["task"]]))
        is_scored = bool(pairs[0].ours["logprobs"])
        failures += _compare_scored(pairs) if is_scored else _compare_generated(pairs)
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


def _pairs(task: Record, theirs: Record) -> Iterator[Pair]:
    for found in task["languages"]:
        for our, their in zip(found["items"], theirs[found["language"]], strict=True):
            yield Pair(task=task["task"], language=found["language"], ours=our, theirs=their)


def _compare_scored(pairs: list[Pair]) -> list[str]:
    """Print how log-likelihoods and verdicts differ; return the items that fail."""
    alike = [pair for pair in pairs if pair.ours["choices"] == pair.theirs["choices"]]
    largest = max((_largest(pair) for pair in alike), default=0.0)
    verdicts = ("is_correct", "is_correct_by_length")
    shares = [
        f"{verdict} ours {_share(pair.ours[verdict] for pair in pairs)}, theirs "
        f"{_share(pair.theirs[verdict] for pair in pairs)}"
        for verdict in verdicts
    ]
    print(f"\n{pairs[0].task}: {len(pairs)} items, {len(alike)} with the same texts; {'; '.join(shares)}")
    print(f"  largest difference of a log-likelihood of the same text: {largest:.1e}")
    failures = [
        f"{pair.name}: log-likelihoods differ by {_largest(pair):.1e}" for pair in alike if _largest(pair) > TOLERANCE
    ]
    for pair in pairs:
        if pair in alike and all(pair.ours[verdict] == pair.theirs[verdict] for verdict in verdicts):
            continue
        found = difference_in_choice(pair.ours, pair.theirs)
        print(f"  {pair.name}: {found.text}")
        if not found.is_explained:
            failures.append(f"{pair.name}: {found.text}")
    return failures


def _largest(pair: Pair) -> float:
    return max(abs(our - their) for our, their in zip(pair.ours["logprobs"], pair.theirs["logprobs"], strict=True))


def _compare_generated(pairs: list[Pair]) -> list[str]:
    """Print how responses and grades differ; return the items that fail."""
    failures = [
        f"{pair.name}: the prompts have other tokens"
        for pair in pairs
        if pair.ours["prompt_token_ids"] != pair.theirs["prompt_token_ids"]
    ]
    print(f"\n{pairs[0].task}: {len(pairs)} items")
    others = [pair for pair in pairs if pair.ours["response"].strip() != pair.theirs["response"].strip()]
    for pair in others:
        found = difference_in_tokens(pair.ours["response"], pair.theirs["response"], gap=pair.theirs["gap"])
        print(f"  {pair.name}: {found.text}")
        if not found.is_explained:
            failures.append(f"{pair.name}: {found.text}")
    print(f"  {len(pairs) - len(others)} of {len(pairs)} responses are the same to the letter")
    print(f"  accuracy: ours {_share(pair.ours['is_correct'] for pair in pairs)}", end="")
    filters = list(pairs[0].theirs["filters"])
    for name in filters:
        print(f"; theirs, {name}, {_share(pair.theirs['filters'][name]['is_correct'] for pair in pairs)}", end="")
    print()
    for name in filters:
        failures += _compare_grades(pairs, name)
    return failures


def _compare_grades(pairs: list[Pair], filter_name: str) -> list[str]:
    """Print the items of which a filter of the package's and our grading judge one response in two ways."""
    failures, kinds = [], Counter[str]()
    for pair in pairs:
        item = Item(
            task=pair.task, item_id=pair.ours["item_id"], language=pair.language, question="", gold=pair.ours["gold"]
        )
        found = grade(pair.theirs["response"], item)
        read = pair.theirs["filters"][filter_name]
        if found.is_correct == read["is_correct"]:
            continue
        difference = difference_in_grade(found, read, gold=item.gold)
        kinds[difference.kind] += 1
        print(f"  {pair.name}, {filter_name}: {difference.text}")
        if not difference.is_explained:
            failures.append(f"{pair.name}, {filter_name}: {difference.text}")
    summary = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()) or "none"
    print(f"  {filter_name}: responses that are judged in another way: {summary}")
    return failures


def _share(verdicts: Iterator[bool]) -> str:
    found = list(verdicts)
    return f"{sum(found)}/{len(found)}"


if __name__ == "__main__":
    sys.exit(main())
