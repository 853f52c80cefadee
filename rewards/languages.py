"""What the project knows about each language: its script, its digits' habits, and how it closes an answer.

Owns facts only, as data. A leaf: imports nothing of the project. The phrases of MGSM's eleven languages are those of
its exemplars (Shi et al. 2022, arXiv 2210.03057); Arabic follows their pattern.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Script = Literal["latin", "cyrillic", "han", "japanese", "thai", "bengali", "telugu", "arabic"]

# A label such as "Answer:" counts at the start of a line or sentence only: MGSM's own "Step-by-Step Answer:" opens the
# reasoning, it declares nothing.
_LABEL = r"(?:(?m:^)|(?<=[.!?。।]))[\s*_#>]*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """One language, named by its ISO 639-1 code.

    `closing_patterns` are matched without regard to case on text whose full-width forms and digits were made ASCII.
    """

    code: str
    name: str  # in English
    script: Script
    question_prefix: str
    instruction: str  # solve step by step, and close with the closing phrase
    closing: str  # declares the final answer; "{answer}" stands for it
    closing_patterns: tuple[str, ...]  # regular expressions that declare a final answer; the number follows
    decimal_mark: str  # "." or ","
    scales: Mapping[str, int]  # words that multiply the number before them, lower case


_ALL = (
    Language(
        code="en",
        name="English",
        script="latin",
        question_prefix="Question:",
        instruction='Reason step by step in English, and end with "The answer is <number>."',
        closing="The answer is {answer}.",
        closing_patterns=(
            r"\banswer(?: to (?:the|this) (?:question|problem))? (?:is|equals|would be|will be)\b:?",
            _LABEL + r"(?:the )?(?:final )?answer[*_ ]*[:=]",
        ),
        decimal_mark=".",
        scales={"thousand": 10**3, "million": 10**6, "billion": 10**9},
    ),
    Language(
        code="de",
        name="German",
        script="latin",
        question_prefix="Frage:",
        instruction="Denke Schritt für Schritt auf Deutsch und schließe mit „Die Antwort lautet <Zahl>.“",
        closing="Die Antwort lautet {answer}.",
        closing_patterns=(
            r"\bantwort(?: auf die frage)? (?:lautet|ist|wäre|beträgt)\b:?",
            r"\blautet die (?:endgültige )?antwort\b:?",
            _LABEL + r"(?:die )?(?:endgültige )?antwort[*_ ]*[:=]",
        ),
        decimal_mark=",",
        scales={"tausend": 10**3, "million": 10**6, "millionen": 10**6, "milliarden": 10**9},
    ),
    Language(
        code="es",
        name="Spanish",
        script="latin",
        question_prefix="Pregunta:",
        instruction="Razona paso a paso en español y termina con «La respuesta es <número>.»",
        closing="La respuesta es {answer}.",
        closing_patterns=(
            r"\brespuesta(?: final| correcta)?(?: a la pregunta)? (?:es|sería|será)\b:?",
            _LABEL + r"(?:la )?respuesta(?: final)?[*_ ]*[:=]",
        ),
        decimal_mark=",",
        scales={"mil": 10**3, "millón": 10**6, "millones": 10**6},
    ),
    Language(
        code="fr",
        name="French",
        script="latin",
        question_prefix="Question :",
        instruction="Raisonne étape par étape en français et termine par « La réponse est <nombre>. »",
        closing="La réponse est {answer}.",
        closing_patterns=(
            r"\bréponse(?: finale| correcte)?(?: à la question)? (?:est|sera|serait)\b ?:?",
            _LABEL + r"(?:la )?réponse(?: finale)?[*_ ]*[:=]",
        ),
        decimal_mark=",",
        scales={"mille": 10**3, "million": 10**6, "millions": 10**6, "milliards": 10**9},
    ),
    Language(
        code="ru",
        name="Russian",
        script="cyrillic",
        question_prefix="Задача:",
        instruction="Рассуждай шаг за шагом по-русски и закончи словами «Ответ — <число>.»",
        closing="Ответ — {answer}.",
        closing_patterns=(
            # A hyphen must stand apart: the one in "Ответ -5" is a sign.
            r"\bответ(?:ом)?(?: на (?:вопрос|задачу)(?: задачи)?)?[*_ ]*"
            r"(?:[—–:=]|-(?=\s)|(?:равен|будет|является|составляет|это)\b:?|(?=[$€₽]?-?\d))",
        ),
        decimal_mark=",",
        scales={"тысяч": 10**3, "тысячи": 10**3, "тысяча": 10**3, "тыс": 10**3, "миллион": 10**6, "миллиона": 10**6}
        | {"миллионов": 10**6, "млн": 10**6},
    ),
    Language(
        code="zh",
        name="Chinese",
        script="han",
        question_prefix="问题：",
        instruction="请用中文一步一步推理，最后以“答案是 <数字>。”结尾。",
        closing="答案是 {answer}。",
        closing_patterns=(
            r"答案(?:应该|应)?[*_ ]*(?:是|为|為|等于|[:=])[:]?",
            _LABEL + r"答[*_ ]*:",
        ),
        decimal_mark=".",
        scales={"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8},
    ),
    Language(
        code="ja",
        name="Japanese",
        script="japanese",
        question_prefix="問題：",
        instruction="日本語で順を追って考え、最後は「答えは<数字>です。」で終えてください。",
        closing="答えは{answer}です。",
        closing_patterns=(
            r"(?:答え|答|解答|正解)は[、:]?",
            # Not after の, so that ステップごとの答え：, which opens the reasoning, declares nothing.
            r"(?<![のじ])(?:答え|答|解答|正解)[*_ ]*[:=]",
        ),
        decimal_mark=".",
        scales={"万": 10**4, "億": 10**8},
    ),
    Language(
        code="th",
        name="Thai",
        script="thai",
        question_prefix="โจทย์:",
        instruction='จงคิดทีละขั้นตอนเป็นภาษาไทย และลงท้ายด้วย "คำตอบคือ <ตัวเลข>"',
        closing="คำตอบคือ {answer}",
        closing_patterns=(r"คำตอบ(?:สุดท้าย|ที่ถูกต้อง|ของโจทย์(?:ข้อนี้)?)?[*_ ]*(?:คือ|เป็น|เท่ากับ|[:=]):?",),
        decimal_mark=".",
        scales={"พัน": 10**3, "หมื่น": 10**4, "แสน": 10**5, "ล้าน": 10**6},
    ),
    Language(
        code="sw",
        name="Swahili",
        script="latin",
        question_prefix="Swali:",
        instruction='Fikiria hatua kwa hatua kwa Kiswahili, na umalize kwa "Jibu ni <nambari>."',
        closing="Jibu ni {answer}.",
        closing_patterns=(
            r"\bjibu(?: la mwisho| sahihi)? (?:ni|litakuwa)\b:?",
            _LABEL + r"jibu(?: la mwisho)?[*_ ]*[:=]",
        ),
        decimal_mark=".",
        scales={"elfu": 10**3, "milioni": 10**6},
    ),
    Language(
        code="bn",
        name="Bengali",
        script="bengali",
        question_prefix="প্রশ্ন:",
        instruction='ধাপে ধাপে বাংলায় চিন্তা করুন এবং শেষে লিখুন "উত্তর হল <সংখ্যা>।"',
        closing="উত্তর হল {answer}।",
        closing_patterns=(
            r"উত্তর(?:টি|টা)?[*_ ]*(?:হল|হলো|হ'ল|হবে|হচ্ছে|[—–=]|-(?=\s)):?",
            _LABEL + r"(?:চূড়ান্ত )?উত্তর[*_ ]*:",
        ),
        decimal_mark=".",
        scales={"হাজার": 10**3, "লাখ": 10**5, "লক্ষ": 10**5, "কোটি": 10**7},
    ),
    Language(
        code="te",
        name="Telugu",
        script="telugu",
        question_prefix="ప్రశ్న:",
        instruction='తెలుగులో దశలవారీగా ఆలోచించి, చివరలో "సమాధానం <సంఖ్య>." అని రాయండి.',
        closing="సమాధానం {answer}.",
        # No verb marks the declaration in Telugu, so a number, or its currency, has to follow at once.
        closing_patterns=(r"(?<!దశలవారీగా )(?:సమాధానం|జవాబు)[*_ ]*[:=—–]?\s*(?=[*_$₹€\\(]*-?\d|[*_$\s]*\\boxed)",),
        decimal_mark=".",
        scales={"వేలు": 10**3, "వేల": 10**3, "లక్షలు": 10**5, "లక్షల": 10**5, "కోట్లు": 10**7},
    ),
    Language(
        code="ar",
        name="Arabic",
        script="arabic",
        question_prefix="السؤال:",
        instruction='فكّر خطوة بخطوة باللغة العربية، واختم بعبارة "الإجابة هي <العدد>."',
        closing="الإجابة هي {answer}.",
        closing_patterns=(
            r"(?:الإجابة|الاجابة|الجواب)(?: النهائية| النهائي| الصحيحة| الصحيح)?[*_ ]*(?:هي|هو|تساوي|يساوي|[:=]):?",
        ),
        decimal_mark=".",
        scales={"ألف": 10**3, "آلاف": 10**3, "مليون": 10**6},
    ),
)

LANGUAGES: dict[str, Language] = {language.code: language for language in _ALL}
