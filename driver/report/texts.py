"""The parts of a report that are read, not seen: responses, events, the config and how to run it again.

Owns which responses are shown. Everything that a model or a data set wrote is escaped and carries its language.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from driver.evaluation.measure import Example
from driver.names import language_name
from driver.report.page import Content, Html, details, element, table
from driver.report.run_record import RunRecord
from driver.tracking.samples_file import Cell

Row = Mapping[str, Cell]

ROLES = ("policy", "pivot", "scorer")
"""Sections whose models are shown."""

_LAST_EVENTS = 20


def samples_section(record: RunRecord) -> list[Html]:
    """Per language one problem of the first steps and one of the last, each with its best and its worst response."""
    if not record.samples:
        return []
    by_language = {
        code: found
        for code in record.languages
        if (found := [row for row in record.samples if row["language"] == code])
    }
    note = "One problem of the first steps and one of the last: the response with the highest reward and the lowest."
    folded = [
        details(language_name(code), _first_and_last(code, rows), is_open=index == 0)
        for index, (code, rows) in enumerate(by_language.items())
    ]
    return [element("h2", "Responses while it trained"), element("p", note, class_="soft small"), *folded]


def _first_and_last(code: str, rows: Sequence[Row]) -> list[Html]:
    ends = {"first": rows[0]["group_id"], "last": rows[-1]["group_id"]}
    shown = []
    for end, group_id in ends.items():
        if end == "last" and group_id == ends["first"]:
            continue
        shown += _group(code, [row for row in rows if row["group_id"] == group_id])
    return shown


def _group(code: str, rows: Sequence[Row]) -> list[Html]:
    rewards = {index: reward for index, row in enumerate(rows) if isinstance(reward := row.get("reward"), float)}
    best = max(rewards, key=lambda index: rewards[index], default=0)
    worst = min(rewards, key=lambda index: rewards[index], default=0)
    responses = [_response(code, rows[index]) for index in dict.fromkeys([best, worst])]
    first = rows[0]
    return [
        element("h3", f"Step {first['step']}, item {first['item_id']}"),
        labelled("Question", str(first["question"]), code),
        labelled("Reference of the pivot", str(first["reference"]), "en"),
        *responses,
    ]


def _response(code: str, row: Row) -> Html:
    reward = row.get("reward")
    title = f"Response, reward {reward:.3f}" if isinstance(reward, float) else "Response, unscored"
    chips = [chip(f"{row['num_tokens']} tokens")]
    if row["finish_reason"] == "length":
        chips.append(chip("cut off", kind="worse"))
    if (reason := row.get("unscored_reason")) is not None:
        chips.append(chip(f"unscored: {reason}", kind="worse"))
    if (answer := row.get("answer")) is not None:
        chips.append(chip(f"final answer {answer}"))
    for name, value in row.items():
        if name.startswith("part_") and isinstance(value, float):
            chips.append(chip(f"{name.removeprefix('part_')} part {value:.3f}"))
        if name.startswith("gate_") and value is not None:
            kind, state = ("better", "open") if value else ("worse", "shut")
            chips.append(chip(f"{name.removeprefix('gate_')} gate {state}", kind=kind))
    return element("div", labelled(title, str(row["response"]), code), element("div", chips, class_="chips"))


def chip(text: str, *, kind: str = "") -> Html:
    return element("span", text, class_=kind)


def labelled(label: str, text: str, code: str) -> Html:
    """A text in its language: `dir` lets the browser write Arabic from the right."""
    shown = text if text.strip() else "(empty)"
    return element(
        "div", element("p", label, class_="label"), element("div", shown, class_="text", lang=code, dir="auto")
    )


def examples_section(record: RunRecord) -> list[Html]:
    """The same evaluation questions before and after."""
    examples: dict[str, dict[str, list[tuple[str, Example]]]] = {}
    for moment, result in record.evaluations.items():
        for found in result.languages:
            for example in found.examples:
                asked = examples.setdefault(found.language, {}).setdefault(example.item_id, [])
                asked.append((moment, example))
    if not examples:
        return []
    folded = [
        details(language_name(code), [_example(code, item, told) for item, told in items.items()])
        for code, items in examples.items()
    ]
    return [element("h2", "Evaluation examples"), *folded]


def _example(code: str, item_id: str, told: Sequence[tuple[str, Example]]) -> list[Html]:
    shown = [
        element("h3", f"Item {item_id}"),
        labelled("Question", told[0][1].question, code),
        element("p", f"Right answer: {told[0][1].gold}", class_="label"),
    ]
    for moment, example in told:
        right = chip("right" if example.is_correct else "wrong", kind="better" if example.is_correct else "worse")
        inside = example.is_in_language
        language = chip("in the language" if inside else "not in the language", kind="better" if inside else "worse")
        shown.append(labelled(f"{moment.capitalize()} training", example.response, code))
        shown.append(element("div", right, language, class_="chips"))
    return shown


def events_section(record: RunRecord) -> list[Html]:
    """What was dropped, skipped or restarted: counted, and the last ones in full."""
    if not record.events:
        return []
    counts = Counter((event.kind, event.reason) for event in record.events)
    rows = [
        element("tr", element("td", kind), element("td", reason, class_="words"), element("td", str(count)))
        for (kind, reason), count in counts.most_common()
    ]
    head = element("tr", element("th", "What"), element("th", "Why", class_="words"), element("th", "Times"))
    last = [
        element("li", " · ".join(part for part in (_at(event.step), event.kind, event.reason, event.detail) if part))
        for event in record.events[-_LAST_EVENTS:]
    ]
    latest = details(f"The last {len(last)}", element("ul", last, class_="small"))
    return [element("h2", "Events"), table(rows, head=head), latest]


def _at(step: int | None) -> str:
    return "" if step is None else f"step {step}"


def config_section(record: RunRecord, *, command: str = "train", roles: Sequence[str] = ROLES) -> list[Content]:
    """What the run was asked to do, and the command that asks it again."""
    folder = f"runs/{record.name}"
    again = f"python driver/run.py {command} {folder}/config.toml run.name={record.name}-again"
    models = [
        element("tr", element("td", role.capitalize()), element("td", str(record.setting(role, "model"))))
        for role in roles
        if record.setting(role, "model") is not None
    ]
    summary: Content = ""
    if record.summary:
        rows = [element("tr", element("td", name), element("td", str(value))) for name, value in record.summary.items()]
        summary = details("Summary", element("div", element("table", element("tbody", rows)), class_="scroll"))
    config = details("Configuration", element("pre", element("code", record.config_text))) if record.config_text else ""
    return [
        element("h2", "The run"),
        element("div", element("table", element("tbody", models)), class_="scroll") if models else "",
        element("h3", "Run it again"),
        element("pre", element("code", again)),
        element(
            "p",
            "From the project's root, with the run folder in place. The config holds every setting, defaults included.",
            class_="soft small",
        ),
        config,
        summary,
    ]
