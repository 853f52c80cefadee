"""Test how often the gates shut what models and translators wrote, and that they read names, units and algebra."""

import json
from collections import Counter
from pathlib import Path

import pytest

from contracts.rollouts import ScoreRequest
from languages.facts import LANGUAGES
from rewards.gates.gates import build_gates
from rewards.gates.identify import LanguageIdentifier
from rewards.reading import read_group
from rewards.texts.clean import clean

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"
SOURCES = ("s1", "gpt35", "mcot")


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(LANGUAGES))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("de", "Mia hat 5 Birnen. Lisa hat 7 Birnen. Zusammen sind es 12 Birnen."),
        ("de", "Sei x die Anzahl der Stifte. Dann gilt 2x + 3 = 11, also x = 4."),
        (
            "de",
            "Ein Hoodie kostet 18 US-Dollar, drei T-Shirts kosten 45.\n18 US-Dollar + 45 US-Dollar = 63 US-Dollar",
        ),
        ("fr", "Mark a 5 billes. Will en a 3 de plus.\nWill = Mark + 3 = 8\nIls ont 13 billes en tout."),
        ("es", "Ana tiene 5 peras. Rosa divide 12 entre 3 y recibe 4 peras. En total son 9 peras."),
        ("es", "Compra 3 Big Mac y 2 Coca-Cola. El total es 3 × 4 + 2 × 2 = 16 dólares."),
        ("en", "Let me solve this. Mia has 5 pears and 7 non-ripe ones, so she has 12 in all."),
        ("sw", "Neema alifanya push-up 20 na T-shirt yake ina bei ya dola 12. Jumla ni 20 + 12 = 32."),
        ("zh", "设 $f(x)=ax^2+bx+c$，且 $AB=9, BC=12$，求 $\\overrightarrow{AB}$ 的长度。"),
        ("ja", "二次式 $ax^2+bx+c$ の係数の和は $a+b+c=6$ です。"),
        (
            "ja",
            "1. **合計人数**: 3人 + 5人 = 8人\n2. **合計料金**: 8人 × 4 = 32\nよって残りは8になります。",
        ),
        ("th", "ให้ $x^2+b < ax$ แล้ว Tom และ Jerry มีแอปเปิล 3 kg"),
        ("ar", "إذا كان ax^2+bx+c=0 فإن مجموع الجذرين هو -b/a."),
        ("ru", "Emily = Kevin + 6, поэтому Emily получает 10 конфет, а iPhone стоит 300 USD."),
        ("bn", "রিতার 5টি বই আছে। সে আরও \\(10\\% \\text{ of } 20 = 2\\)টি বই কেনে।"),
        ("te", "రవి దగ్గర 5 పుస్తకాలు ఉన్నాయి. $2n + 1 = 11$ కాబట్టి n = 5."),
        (
            "de",
            "Der Code dazu:\n```python\ntotal = price * count\nprint(total)\n```\nDamit ergibt sich der Preis.",
        ),
    ],
)
def test_names_units_brands_algebra_and_code_shut_no_gate(identifier: LanguageIdentifier, code: str, text: str) -> None:
    assert identifier.is_in(clean(text), code)


ENGLISH = ("She buys 4 boxes with 6 pens each", "So there are 24 pens in total", "Half of them are blue")
HIDDEN = {
    "headings": [f"### {line}" for line in ENGLISH],
    "capitals": [line.upper() for line in ENGLISH],
    "names": [line.title() for line in ENGLISH],
    "parentheses": [f"({line})" for line in ENGLISH],
    "quotation marks": [f"“{line}”" for line in ENGLISH],
    "two quotations": [f"«{line}»" for line in ENGLISH[:2]],
    "glosses": [f"({word})" for line in ENGLISH for word in line.split()],
    "comments": ["```python", *(f"# {line}" for line in ENGLISH), "```"],
    "strings": ["```python", *(f'print("{line}")' for line in ENGLISH), "```"],
    "drawings": ["[asy]", *ENGLISH, "[/asy]"],
    "formulas": [f"${line}$" for line in ENGLISH],
    "texts in formulas": [f"\\[\\text{{{line}}}\\]" for line in ENGLISH],
    "labels": [f"**Step {number}:** {line}" for number, line in enumerate(ENGLISH, 1)],
}


@pytest.mark.parametrize("place", HIDDEN)
def test_english_is_found_where_it_hides(identifier: LanguageIdentifier, place: str) -> None:
    native = {
        "de": "Am Ende bleiben ihr davon noch 12 Stifte.",
        "ru": "В конце у неё остаётся 12 ручек.",
        "zh": "最后她还剩下12支笔。",
    }
    for code, text in native.items():
        hidden = "\n".join(HIDDEN[place])
        assert not identifier.is_in(f"{hidden}\n{text}", code), code


def rows(name: str) -> list[dict[str, object]]:
    file = DATA / "outputs" / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(not (DATA / "outputs").exists(), reason="needs the outputs of models in shared/data/outputs")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.slow
def test_gates_shut_few_right_outputs_and_no_other_language_opens_one(
    source: str, identifier: LanguageIdentifier
) -> None:
    gates = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0)
    num, by_language, by_others = Counter[str](), Counter[str](), Counter[str]()
    accepted = 0
    for row in rows(source):
        code, is_other = str(row["language"]), row["in_language"] == "other"
        if code not in LANGUAGES or not (is_other or (row["is_right"] and row["in_language"] == "in")):
            continue
        request = ScoreRequest(
            language=code,
            question=str(row["question"]),
            question_en=str(row["question_en"]),
            reference=str(row["reference"]),
            responses=(str(row["response"]),),
            truncated=(False,),
        )
        (reading,) = read_group(request)
        if is_other:
            # The labels are a machine's: only long texts that are English for sure are counted.
            is_english = "'en', 9" in str(row["detected"]) and len(reading.text) > 200
            accepted += is_english and identifier.is_in(reading.text, code)
            continue
        num[code] += 1
        shut = {gate.name for gate in gates if not gate.is_open(reading)}
        by_language[code] += "language" in shut
        # Where the answer is declared is the answers' own measure.
        by_others[code] += bool(shut - {"language", "format", "answer_language"})
    assert accepted == 0
    for code, total in num.items():
        assert by_language[code] <= max(1, 0.01 * total), code
        assert by_others[code] <= 0.04 * total, code


@pytest.mark.skipif(not (DATA / "mmath").exists(), reason="needs MMATH in shared/data/mmath")
@pytest.mark.parametrize("code", ["ar", "en", "es", "fr", "ja", "th", "zh"])
def test_translated_competition_problems_are_accepted(identifier: LanguageIdentifier, code: str) -> None:
    items = json.loads((DATA / "mmath" / f"{code}.json").read_text(encoding="utf-8"))
    refused = [item["question"] for item in items if not identifier.is_in(clean(item["question"]), code)]
    assert len(refused) <= 0.005 * len(items), refused
