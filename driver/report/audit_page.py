"""The report of an audit: the verdict, a heat map of cheats by languages, gates, faithful rewards, worst cases.

Owns the order and wording. Everything that a data set wrote is escaped and carries its language.
"""

from collections.abc import Mapping

from driver.audit.cheats import CHEATS
from driver.audit.result import (
    QUESTIONS,
    SOLUTIONS,
    WANTED_REJECTION,
    AuditResult,
    Case,
    Contribution,
    GateCell,
    LanguageCell,
    Response,
)
from driver.audit.table import earning_more_text, headline, held_back_text, unscored_line
from driver.names import NOT_MEASURED, language_name, strict_percent
from driver.report.heat_map import heat_map
from driver.report.page import Content, Html, details, element, table
from driver.report.run_record import RunRecord
from driver.report.texts import chip, config_section, labelled


def audit_body(record: RunRecord, audit: AuditResult) -> list[Content]:
    """Everything between <body> and </body>."""
    return [
        element("h1", record.name),
        element("p", _measured(audit), class_="soft"),
        element("p", headline(audit), class_="verdict"),
        element("p", unscored_line(audit)) if audit.unscored else "",
        *_wins(audit),
        *_faithful(audit),
        *_gates(audit),
        *_ablation(audit),
        *_cases(audit),
        *config_section(record, command="audit", roles=("scorer",)),
    ]


def _measured(audit: AuditResult) -> str:
    settings = "; ".join(f"{name} {value}" for name, value in audit.measured_on.items())
    return f"An audit of the reward: {audit.num_samples} responses in {audit.seconds:.0f} s. {settings}"


def _wins(audit: AuditResult) -> list[Html]:
    shares = [[audit.cell(code, name).win_rate for code in audit.codes] for name in audit.cheat_names]
    picture = heat_map(
        shares,
        rows=audit.cheat_names,
        columns=audit.codes,
        alt="share of groups in which faithful text earns more than the cheat, by cheat and language",
    )
    caption = element("figcaption", "Faithful wins, in percent", element("span", "from 99 on is what is wanted"))
    return [
        element("h2", "Faithful text against every way to cheat"),
        element(
            "p",
            "Each cell: the share of groups in which the faithful response earns strictly more than the cheat that was "
            "made from it. An empty cell: the cheat can't be made there, as an English answer to an English question.",
            class_="soft small",
        ),
        element("figure", caption, picture, class_="wide"),
        details("What each cheat is, what it earns, and which gates shut it", _cheats_table(audit)),
    ]


def _cheats_table(audit: AuditResult) -> Html:
    head = element(
        "tr",
        element("th", "Cheat"),
        element("th", "Imitates", class_="words"),
        element("th", "Groups"),
        element("th", "Left out"),
        element("th", "Unscored"),
        element("th", "Mean reward"),
        element("th", "Shut by", class_="words"),
    )
    imitates = {cheat.name: cheat.imitates for cheat in CHEATS}
    rows = []
    for name in audit.cheat_names:
        cells = [audit.cell(code, name) for code in audit.codes]
        num = sum(cell.num_groups for cell in cells)
        total = sum((cell.mean_reward or 0.0) * cell.num_groups for cell in cells)
        rows.append(
            element(
                "tr",
                element("td", name),
                element("td", imitates.get(name, ""), class_="words"),
                element("td", str(num)),
                element("td", str(sum(cell.num_left_out for cell in cells))),
                element("td", str(sum(cell.num_unscored for cell in cells))),
                element("td", f"{total / num:.3f}" if num else NOT_MEASURED),
                element("td", _shut_by(audit, name), class_="words"),
            )
        )
    return table(rows, head=[head])


def _shut_by(audit: AuditResult, name: str) -> str:
    """Gates by their share over all languages; a response may be shut by several."""
    num = sum(audit.cell(code, name).num_groups for code in audit.codes)
    shut: dict[str, float] = {}
    for code in audit.codes:
        cell = audit.cell(code, name)
        for gate, share in cell.shut_by.items():
            shut[gate] = shut.get(gate, 0.0) + share * cell.num_groups / num
    told = sorted(shut.items(), key=lambda found: -found[1])
    return ", ".join(f"{gate} {share:.0%}" for gate, share in told) or "none"


def _faithful(audit: AuditResult) -> list[Html]:
    parts = list(dict.fromkeys(part for cell in audit.languages for part in cell.mean_parts))
    titles = ["Language", "Items", "Reward", *(f"{part.capitalize()} part" for part in parts), "Spread", "Rank", "ms"]
    rows = [element("tr", [element("td", cell) for cell in _faithful_cells(cell, parts)]) for cell in audit.languages]
    return [
        element("h2", "Faithful text, by language"),
        table(rows, head=[element("tr", [element("th", title) for title in titles])]),
        element(
            "p",
            "Mean and standard deviation of what faithful text earns. Spread: mean standard deviation of the rewards "
            "inside a group of the faithful response and its cheats. Rank: Spearman's correlation of the reward with "
            "how many numbers of the reasoning were changed, the answer right; -1 is best. ms: wall-clock time per "
            "response, all scorers together.",
            class_="soft small",
        ),
    ]


def _faithful_cells(cell: LanguageCell, parts: list[str]) -> list[str]:
    unscored = f", {cell.num_unscored} unscored" if cell.num_unscored else ""
    rank = cell.rank_correlation.get("reward")
    return [
        language_name(cell.language),
        f"{cell.num_items}{unscored}",
        _with_spread(cell.mean_reward, cell.std_reward),
        *(_with_spread(cell.mean_parts.get(part), cell.std_parts.get(part)) for part in parts),
        NOT_MEASURED if cell.group_spread is None else f"{cell.group_spread:.3f}",
        NOT_MEASURED if rank is None else f"{rank:.2f} ({cell.num_series} items)",
        f"{cell.ms_per_sample:.1f}",
    ]


def _with_spread(mean: float | None, spread: float | None) -> str:
    return NOT_MEASURED if mean is None else f"{mean:.3f} ± {spread or 0.0:.3f}"


def _gates(audit: AuditResult) -> list[Html]:
    """False rejections: rows are gates, columns languages."""
    kinds = list(dict.fromkeys((cell.gate, cell.texts) for cell in audit.gates))
    by_place = {(cell.gate, cell.texts, cell.language): cell for cell in audit.gates}
    head = [element("th", "Gate"), *(element("th", code) for code in audit.codes)]
    rows = [
        element(
            "tr",
            element("td", gate if texts == SOLUTIONS else f"{gate}, on questions"),
            [_rejection(by_place.get((gate, texts, code))) for code in audit.codes],
        )
        for gate, texts in sorted(kinds, key=lambda kind: kind[1] == QUESTIONS)
    ]
    return [
        element("h2", "Faithful text that gates reject"),
        table(rows, head=[element("tr", head)]),
        element("p", "In percent; at most 1 is wanted. A gate that is off is judged too.", class_="soft small"),
    ]


def _rejection(cell: GateCell | None) -> Html:
    rate = cell.rejection_rate if cell is not None else None
    is_missed = rate is not None and rate > WANTED_REJECTION
    return element("td", NOT_MEASURED if rate is None else f"{100 * rate:.1f}", class_="worse" if is_missed else "")


def _ablation(audit: AuditResult) -> list[Html]:
    if not audit.contributions:
        return []
    titles = ("Without", "Lowest cell", "Mean of cells", "Largest difference between languages")
    worded = ("Cheats that win more often", "Cheats that earn more")
    head = [
        *(element("th", title) for title in titles),
        *(element("th", title, class_="words") for title in worded),
    ]
    whole = Contribution(
        switched_off="(nothing)",
        lowest_win_rate=audit.lowest_win_rate,
        mean_win_rate=audit.mean_win_rate,
        largest_difference=audit.largest_difference,
        by_cheat=audit.by_cheat,
        cheat_rewards=audit.cheat_rewards,
    )
    rows = [_contribution(audit, found) for found in (whole, *audit.contributions)]
    return [
        element("h2", "What each part and gate contributes"),
        table(rows, head=[element("tr", head)]),
        element(
            "p",
            "The same audit with one thing switched off; a part's weight goes to the others. Behind a cheat: by how "
            "many points faithful text wins less often, and by how much the cheat's mean reward rises. Where no cheat "
            "gains, something else holds it back as well.",
            class_="soft small",
        ),
    ]


def _contribution(audit: AuditResult, found: Contribution) -> Html:
    difference = found.largest_difference
    return element(
        "tr",
        element("td", found.switched_off),
        element("td", strict_percent(found.lowest_win_rate)),
        element("td", strict_percent(found.mean_win_rate)),
        element("td", NOT_MEASURED if difference is None else f"{difference:.3f}"),
        element("td", held_back_text(audit, found), class_="words"),
        element("td", earning_more_text(audit, found), class_="words"),
    )


def _cases(audit: AuditResult) -> list[Html]:
    if not audit.cases:
        return []
    shown = [
        details(f"{case.cheat}, {language_name(case.language)}: {case.margin:+.3f}", _case(case))
        for case in audit.cases
    ]
    note = "Where a cheat came closest to its faithful response, at most once per language and cheat."
    return [element("h2", "Worst cases"), element("p", note, class_="soft small"), *shown]


def _case(case: Case) -> list[Html]:
    return [
        element("p", f"Item {case.item_id}; faithful less cheat: {case.margin:+.3f}", class_="label"),
        labelled("Question", case.question, case.language),
        *_response("Faithful", case.faithful, case.language),
        *_response(f"Cheat: {case.cheat}", case.cheating, case.language),
    ]


def _response(title: str, response: Response, code: str) -> list[Html]:
    parts: Mapping[str, float] = response.parts
    chips = [chip(f"{name} part {value:.3f}") for name, value in parts.items()]
    chips += [chip(f"{gate} gate shut", kind="worse") for gate in response.shut]
    text = labelled(f"{title}, reward {response.reward:.3f}", response.text, code)
    return [text, element("div", chips, class_="chips")]
