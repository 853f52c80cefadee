"""What the project knows about each language: its script, its digits' habits, and how it closes an answer.

Owns facts only, as data, with the number words of languages/number_words.py; imports nothing else of the project. The
phrases of MGSM's eleven languages are those of its exemplars (Shi et al. 2022, arXiv 2210.03057); Arabic follows their
pattern. No repetition in a pattern is unbounded: each must be linear in any text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from languages.number_words import SMALL_NUMBERS

Script = Literal["latin", "cyrillic", "han", "japanese", "thai", "bengali", "telugu", "arabic"]

# A label such as "Answer:" counts at the start of a line or sentence only: MGSM's own "Step-by-Step Answer:" opens the
# reasoning, it declares nothing.
_LABEL = r"(?:(?m:^)|(?<=[.!?。।]))[^\S\n]{0,9}[*_#> ]{0,9}"
_LINE = r"(?m:^)[^\S\n]{0,9}[*_#> ]{0,9}"
# A number with at most a unit. "1. First" and "2) Then" go on behind the mark of a list, "5 + 6" with another number.
_NUMBER = r"[^\w\n]{0,12}\d(?:[\d.,'/ ]{0,40}\d)?[^\d\n.!?。।)]{0,30}[^\w\n]{0,9}"
_ALONE = rf"(?={_NUMBER}(?m:$))"  # to the end of its line


def _heading(words: str) -> str:
    """A line of its own, "### Answer", above a line of nothing but the number."""
    return rf"{_LINE}(?:{words})[*_ ]{{0,9}}(?:\n[^\S\n]{{0,9}}){{1,3}}{_ALONE}"


def _result(words: str) -> str:
    """Words that open intermediate results as well ("Result:"): they count where the number ends the text."""
    return rf"{_LINE}(?:{words})[*_\s]{{0,9}}(?={_NUMBER}\s{{0,9}}\Z)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """One language, named by its ISO 639-1 code.

    `closing_patterns` are matched without regard to case on text whose full-width forms and digits were made ASCII.
    """

    code: str
    flores: str  # FLORES-200 code, by which NLLB knows the language
    name: str  # in English
    script: Script
    question_prefix: str
    instruction: str  # solve step by step, and close with the closing phrase
    closing: str  # declares the final answer; "{answer}" stands for it
    closing_patterns: tuple[str, ...]  # regular expressions that declare a final answer; it follows
    decimal_mark: str  # "." or ","
    scales: Mapping[str, int]  # words that multiply the number before them, lower case
    percents: tuple[str, ...]  # words for "%" behind a number, lower case
    small_numbers: Mapping[str, int]  # number words, lower case; zh, ja, th: without word breaks, the longest first
    percents_before: tuple[str, ...] = ()  # words for "%" before the number


_ALL = (
    Language(
        code="en",
        flores="eng_Latn",
        name="English",
        script="latin",
        question_prefix="Question:",
        instruction='Reason step by step in English, and end with "The answer is <number>."',
        closing="The answer is {answer}.",
        closing_patterns=(
            r"\banswer(?: to (?:the|this) (?:question|problem))? (?:is|equals|would be|will be)\b:?",
            r"\bcorrect (?:option|choice) is\b:?",
            _LABEL + r"(?:the )?(?:final )?answer[*_ ]{0,9}[:=]",
            _heading("(?:the )?(?:final )?answer"),
        ),
        decimal_mark=".",
        scales={"thousand": 10**3, "million": 10**6, "billion": 10**9},
        percents=("percent", "per cent"),
        small_numbers=SMALL_NUMBERS["en"],
    ),
    Language(
        code="de",
        flores="deu_Latn",
        name="German",
        script="latin",
        question_prefix="Frage:",
        instruction="Denke Schritt für Schritt auf Deutsch und schließe mit „Die Antwort lautet <Zahl>.“",
        closing="Die Antwort lautet {answer}.",
        closing_patterns=(
            r"\bantwort(?: auf die frage)? (?:lautet|ist|wäre|beträgt)\b:?",
            r"\blautet die (?:endgültige )?antwort\b:?",
            _LABEL + r"(?:die )?(?:endgültige )?antwort[*_ ]{0,9}[:=]",
            _heading("(?:die )?(?:endgültige )?antwort"),
            _result(r"(?:(?:end)?ergebnis|lösung)[*_ ]{0,9}:"),
        ),
        decimal_mark=",",
        scales={"tausend": 10**3, "million": 10**6, "millionen": 10**6, "milliarden": 10**9},
        percents=("prozent",),
        small_numbers=SMALL_NUMBERS["de"],
    ),
    Language(
        code="es",
        flores="spa_Latn",
        name="Spanish",
        script="latin",
        question_prefix="Pregunta:",
        instruction="Razona paso a paso en español y termina con «La respuesta es <número>.»",
        closing="La respuesta es {answer}.",
        closing_patterns=(
            r"\brespuesta(?: final| correcta)?(?: a la pregunta)? (?:es|sería|será)\b:?",
            _LABEL + r"(?:la )?respuesta(?: final)?[*_ ]{0,9}[:=]",
            _heading("(?:la )?respuesta(?: final)?"),
            _result(r"(?:el )?resultado(?: final)?[*_ ]{0,9}:|la solución es:?"),
        ),
        decimal_mark=",",
        scales={"mil": 10**3, "millón": 10**6, "millones": 10**6},
        percents=("por ciento",),
        small_numbers=SMALL_NUMBERS["es"],
    ),
    Language(
        code="fr",
        flores="fra_Latn",
        name="French",
        script="latin",
        question_prefix="Question :",
        instruction="Raisonne étape par étape en français et termine par « La réponse est <nombre>. »",
        closing="La réponse est {answer}.",
        closing_patterns=(
            r"\bréponse(?: finale| correcte)?(?: à la question)? (?:est|sera|serait)\b ?:?",
            _LABEL + r"(?:la )?réponse(?: finale)?[*_ ]{0,9}[:=]",
            _heading("(?:la )?réponse(?: finale)?"),
            _result(r"(?:le )?résultat(?: final)?[*_ ]{0,9}:"),
        ),
        decimal_mark=",",
        scales={"mille": 10**3, "million": 10**6, "millions": 10**6, "milliards": 10**9},
        percents=("pour cent",),
        small_numbers=SMALL_NUMBERS["fr"],
    ),
    Language(
        code="ru",
        flores="rus_Cyrl",
        name="Russian",
        script="cyrillic",
        question_prefix="Задача:",
        instruction="Рассуждай шаг за шагом по-русски и закончи словами «Ответ — <число>.»",
        closing="Ответ — {answer}.",
        closing_patterns=(
            # A hyphen must stand apart: the one in "Ответ -5" is a sign.
            r"\bответ(?:ом)?(?: на (?:вопрос|задачу)(?: задачи)?)?[*_ ]{0,9}"
            r"(?:[—–:=]|-(?=\s)|(?:равен|будет|является|составляет|это)\b:?|"
            r"(?=[$€₽]?-?\d|\([A-J]\)))",
            _heading("(?:окончательный )?ответ"),
            _result(r"итого[*_ ]{0,9}:"),
        ),
        decimal_mark=",",
        scales={"тысяч": 10**3, "тысячи": 10**3, "тысяча": 10**3, "тыс": 10**3, "миллион": 10**6, "миллиона": 10**6}
        | {"миллионов": 10**6, "млн": 10**6},
        percents=("процентов", "процента", "процент"),
        small_numbers=SMALL_NUMBERS["ru"],
    ),
    Language(
        code="zh",
        flores="zho_Hans",
        name="Chinese",
        script="han",
        question_prefix="问题：",
        instruction="请用中文一步一步推理，最后以“答案是 <数字>。”结尾。",
        closing="答案是 {answer}。",
        closing_patterns=(
            r"答案(?:应该|应|就)?[*_ ]{0,9}(?:是|为|為|等于|[:=])[:]?",
            _LABEL + r"答[*_ ]{0,9}:",
            _heading("(?:最终)?答案"),
        ),
        decimal_mark=".",
        scales={"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8},
        percents=("个百分点",),
        percents_before=("百分之",),
        small_numbers=SMALL_NUMBERS["zh"],
    ),
    Language(
        code="ja",
        flores="jpn_Jpan",
        name="Japanese",
        script="japanese",
        question_prefix="問題：",
        instruction="日本語で順を追って考え、最後は「答えは<数字>です。」で終えてください。",
        closing="答えは{answer}です。",
        closing_patterns=(
            r"(?:答え|答|解答|正解)は[、:]?",
            # Not after の, so that ステップごとの答え：, which opens the reasoning, declares nothing.
            r"(?<![のじ])(?:答え|答|解答|正解)[*_ ]{0,9}[:=]",
            _LABEL + r"(?:答え|解答)[*_ ]{1,9}" + _ALONE,
            _heading("(?:最終的な|最終)?(?:答え|回答|解答)"),
        ),
        decimal_mark=".",
        scales={"万": 10**4, "億": 10**8},
        percents=("パーセント",),
        small_numbers=SMALL_NUMBERS["ja"],
    ),
    Language(
        code="th",
        flores="tha_Thai",
        name="Thai",
        script="thai",
        question_prefix="โจทย์:",
        instruction='จงคิดทีละขั้นตอนเป็นภาษาไทย และลงท้ายด้วย "คำตอบคือ <ตัวเลข>"',
        closing="คำตอบคือ {answer}",
        closing_patterns=(
            r"คำตอบ(?:สุดท้าย|ที่ถูกต้อง|ของ(?:โจทย์|คำถาม)(?:ข้อ)?(?:นี้)?)?[*_ ]{0,9}(?:(?:จึง|ก็)?(?:คือ|เป็น|เท่ากับ)|[:=]):?",
            # "She has 3 answers" is written the same but for the space before.
            r"(?:(?m:^)|(?<=[\s*_])|(?<=ดังนั้น))คำตอบ(?:สุดท้าย)?[*_ ]{0,9}\n{0,3}" + _ALONE,
            _LINE + r"(?:ดังนั้น )?ตอบ[*_: ]{1,9}" + _ALONE,
        ),
        decimal_mark=".",
        scales={"พัน": 10**3, "หมื่น": 10**4, "แสน": 10**5, "ล้าน": 10**6},
        percents=("เปอร์เซ็นต์",),
        percents_before=("ร้อยละ",),
        small_numbers=SMALL_NUMBERS["th"],
    ),
    Language(
        code="sw",
        flores="swh_Latn",
        name="Swahili",
        script="latin",
        question_prefix="Swali:",
        instruction='Fikiria hatua kwa hatua kwa Kiswahili, na umalize kwa "Jibu ni <nambari>."',
        closing="Jibu ni {answer}.",
        closing_patterns=(
            r"\bjibu(?: la mwisho| sahihi| la swali(?: hili)?| lake| letu)? (?:ni|litakuwa)\b:?",
            _LABEL + r"jibu(?: la mwisho)?[*_ ]{0,9}[:=]",
            _heading("jibu(?: la mwisho)?"),
        ),
        decimal_mark=".",
        scales={"elfu": 10**3, "milioni": 10**6},
        percents=("asilimia",),
        percents_before=("asilimia",),
        small_numbers=SMALL_NUMBERS["sw"],
    ),
    Language(
        code="bn",
        flores="ben_Beng",
        name="Bengali",
        script="bengali",
        question_prefix="প্রশ্ন:",
        instruction='ধাপে ধাপে বাংলায় চিন্তা করুন এবং শেষে লিখুন "উত্তর হল <সংখ্যা>।"',
        closing="উত্তর হল {answer}।",
        closing_patterns=(
            r"উত্তর(?:টি|টা)?[*_ ]{0,9}(?:হল|হলো|হ['’]ল|হবে|হচ্ছে|[—–=]|-(?=\s)):?",
            # The visarga (ঃ) is often typed for a colon.
            _LABEL + r"(?:চূড়ান্ত )?উত্তর[*_ ]{0,9}[:ঃ]",
            rf"(?<!ধাপে ধাপে )উত্তর[*_ ]{{0,9}}[:ঃ]?[*_ ]{{0,9}}\n{{0,3}}(?={_NUMBER}(?:[.।]|(?m:$)))",
        ),
        decimal_mark=".",
        scales={"হাজার": 10**3, "লাখ": 10**5, "লক্ষ": 10**5, "কোটি": 10**7},
        percents=("শতাংশ",),
        percents_before=("শতকরা",),
        small_numbers=SMALL_NUMBERS["bn"],
    ),
    Language(
        code="te",
        flores="tel_Telu",
        name="Telugu",
        script="telugu",
        question_prefix="ప్రశ్న:",
        instruction='తెలుగులో దశలవారీగా ఆలోచించి, చివరలో "సమాధానం <సంఖ్య>." అని రాయండి.',
        closing="సమాధానం {answer}.",
        closing_patterns=(
            # No verb marks the declaration in Telugu, so the number, option letter or box has to follow at once ...
            r"(?<!దశలవారీగా )(?:సమాధానం|జవాబు)[*_ ]{0,9}[:=—–]?[*_\s]{0,9}"
            r"(?=[*_$₹€\\(]{0,9}-?[\d½¼¾]|[*_$\s]{0,9}\\(?:boxed|[dt]?frac)|[*_(]{0,5}(?-i:[A-J])(?![A-Za-z]))",
            # ... or a few words that end the text.
            _LABEL + r"(?:సమాధానం|జవాబు)[*_ ]{0,9}[:=—–]?[^\S\n]{0,9}(?=[^\d\n.]{1,60}[.*_]{0,4}\s{0,9}\Z)",
        ),
        decimal_mark=".",
        scales={"వేలు": 10**3, "వేల": 10**3, "లక్షలు": 10**5, "లక్షల": 10**5, "కోట్లు": 10**7},
        percents=("శాతం",),
        small_numbers=SMALL_NUMBERS["te"],
    ),
    Language(
        code="ar",
        flores="arb_Arab",
        name="Arabic",
        script="arabic",
        question_prefix="السؤال:",
        instruction='فكّر خطوة بخطوة باللغة العربية، واختم بعبارة "الإجابة هي <العدد>."',
        closing="الإجابة هي {answer}.",
        closing_patterns=(
            r"(?:الإجابة|الاجابة|الجواب)(?: النهائية| النهائي| الصحيحة| الصحيح)?[*_ ]{0,9}(?:هي|هو|تساوي|يساوي|[:=]):?",
            _heading("(?:الإجابة|الاجابة|الجواب)(?: النهائية| النهائي)?"),
            _result(r"(?:الناتج|الحل)[*_ ]{0,9}:"),
        ),
        decimal_mark=".",
        scales={"ألف": 10**3, "آلاف": 10**3, "مليون": 10**6},
        percents=("في المئة", "في المائة", "بالمئة", "بالمائة"),
        small_numbers=SMALL_NUMBERS["ar"],
    ),
)

LANGUAGES: dict[str, Language] = {language.code: language for language in _ALL}
