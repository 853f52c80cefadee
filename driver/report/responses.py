"""Choose the responses and events that report.html shows in full."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driver.evaluation.results import Example
from driver.outcome.changes import first_and_last
from driver.outcome.words import moment_name
from driver.report.run_record import RunRecord
from driver.tracking.line_logs import Event
from driver.tracking.samples_file import Cell

Row = Mapping[str, Cell]

_LAST_EVENTS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """Hold one short fact about a response; `kind` is "better", "worse" or empty."""

    text: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownResponse:
    """Hold a sampled response with what is said about it."""

    title: str
    text: str
    thinking: str  # empty: none
    chips: tuple[Chip, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownGroup:
    """Hold one problem of a step, with the responses of the highest and the lowest reward."""

    step: Cell
    item_id: str
    question: str
    reference: str
    responses: tuple[ShownResponse, ...]


def sampled_groups(record: RunRecord) -> dict[str, list[ShownGroup]]:
    """Return for each language the group of its first sample and that of its last, if they differ."""
    found: dict[str, list[ShownGroup]] = {}
    for code in record.languages:
        rows = [row for row in record.samples if row["language"] == code]
        ends = dict.fromkeys([rows[0]["group_id"], rows[-1]["group_id"]]) if rows else ()
        if ends:
            found[code] = [shown_group([row for row in rows if row["group_id"] == group_id]) for group_id in ends]
    return found


def shown_group(rows: Sequence[Row]) -> ShownGroup:
    rewards = {index: reward for index, row in enumerate(rows) if isinstance(reward := row.get("reward"), float)}
    best = max(rewards, key=lambda index: rewards[index], default=0)
    worst = min(rewards, key=lambda index: rewards[index], default=0)
    first = rows[0]
    return ShownGroup(
        step=first["step"],
        item_id=str(first["item_id"]),
        question=str(first["question"]),
        reference=str(first["reference"]),
        responses=tuple(_response(rows[index]) for index in dict.fromkeys([best, worst])),
    )


def _response(row: Row) -> ShownResponse:
    reward = row.get("reward")
    chips = [Chip(text=f"{row['num_tokens']} tokens")]
    if num_thinking := row.get("num_thinking_tokens"):
        chips.append(Chip(text=f"{num_thinking} of thinking"))
    if row["finish_reason"] == "length":
        chips.append(Chip(text="cut off", kind="worse"))
    if (reason := row.get("unscored_reason")) is not None:
        chips.append(Chip(text=f"unscored: {reason}", kind="worse"))
    if (answer := row.get("answer")) is not None:
        chips.append(Chip(text=f"final answer {answer}"))
    for name, value in row.items():
        if name.startswith("part_") and isinstance(value, float):
            chips.append(Chip(text=f"{name.removeprefix('part_')} part {value:.3f}"))
        if name.startswith("gate_") and value is not None:
            kind, state = ("better", "open") if value else ("worse", "closed")
            chips.append(Chip(text=f"{name.removeprefix('gate_')} gate {state}", kind=kind))
    return ShownResponse(
        title=f"Response, reward {reward:.3f}" if isinstance(reward, float) else "Response, unscored",
        text=str(row["response"]),
        thinking=str(row.get("thinking") or ""),
        chips=tuple(chips),
    )


def evaluated_examples(record: RunRecord) -> dict[str, dict[str, list[tuple[str, Example]]]]:
    """Return language -> item -> (moment, response) of the first and the last evaluation."""
    found: dict[str, dict[str, list[tuple[str, Example]]]] = {}
    for moment in filter(None, first_and_last(record.evaluations)):
        for measured in record.evaluations[moment].languages:
            for example in measured.examples:
                items = found.setdefault(measured.language, {})
                items.setdefault(example.item_id, []).append((moment_name(moment), example))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class EventSummary:
    """Hold how often each event happened, and the last ones in full."""

    counts: tuple[tuple[tuple[str, str], int], ...]  # ((kind, reason), times), the most frequent first
    latest: tuple[Event, ...]


def event_summary(record: RunRecord) -> EventSummary:
    """Return what was dropped, skipped or restarted."""
    counts = Counter((event.kind, event.reason) for event in record.events)
    return EventSummary(counts=tuple(counts.most_common()), latest=record.events[-_LAST_EVENTS:])
