"""Test the meter by langdetect alone."""

import pytest

from driver.evaluation.langdetect_meter import LangdetectMeter

METER = LangdetectMeter()
GERMAN = "Zuerst rechnen wir aus, wie viele Eier übrig bleiben. Dann verkauft sie den Rest."
ENGLISH = "First we compute how many eggs are left over. Then she sells the rest of them."
CHINESE = "首先我们计算还剩下多少个鸡蛋，然后她把剩下的鸡蛋全部卖掉，最后得到答案。"


@pytest.mark.parametrize(
    ("text", "language", "is_in"),
    [
        (GERMAN, "de", True),
        (ENGLISH, "de", False),
        (CHINESE, "zh", True),  # two profiles, zh-cn and zh-tw, are one language
        (CHINESE, "ja", False),
        ("매일 아침 아야는 산책을 하고 그 후에 커피숍에 들립니다.", "ko", True),  # a language without a language file
        ("\\boxed{18}", "de", True),  # too short to have a language
        ("ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾᛁᛃ ᛇᛈᛉᛊᛏᛒ ᛖᛗᛚᛜᛞᛟ", "de", False),  # letters that no profile has
        (GERMAN, "my", None),  # langdetect does not know Burmese
    ],
)
def test_the_first_choice_of_langdetect_decides(text: str, language: str, is_in: bool | None) -> None:
    assert METER.is_in(text, language) == is_in


def test_a_doubtful_text_is_judged_alike_every_time() -> None:
    doubtful = "Total: plus minus total normal final, plus total"
    codes = ("ca", "da", "de", "en", "es", "et", "fr", "id", "it", "nl", "pt", "ro", "sv", "tl")
    first = [METER.is_in(doubtful, code) for code in codes]
    again = LangdetectMeter()
    assert [again.is_in(doubtful, code) for code in codes] == first
    assert sum(map(bool, first)) <= 1
