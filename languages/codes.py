"""Find the code of a language that is written in any of its usual ways.

Known are ISO 639-1 codes, ISO 639-2 and 639-3 codes, BCP 47 and POSIX tags (zh-CN, sw_KE), FLORES-200 codes (zho_Hans),
English names and the languages' own names. A tag means its language: zh-TW is zh.
"""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache

from languages.facts import LANGUAGES

_TABLE = """
af | afr | Afrikaans
am | amh | Amharic, አማርኛ
ar | ara arb ary arz apc acm ajp aeb ars | Arabic, العربية
as | asm | Assamese, অসমীয়া
az | aze azj | Azerbaijani, azərbaycan
be | bel | Belarusian, беларуская
bg | bul | Bulgarian, български
bm | bam | Bambara, bamanankan
bn | ben | Bengali, Bangla, বাংলা
bo | bod tib | Tibetan, བོད་ཡིག
bs | bos | Bosnian, bosanski
ca | cat | Catalan, català
cs | ces cze | Czech, čeština
cy | cym wel | Welsh, Cymraeg
da | dan | Danish, dansk
de | deu ger | German, Deutsch
ee | ewe | Ewe, eʋegbe
el | ell gre | Greek, ελληνικά
en | eng | English
es | spa | Spanish, Castilian, español, castellano
et | est ekk | Estonian, eesti
eu | eus baq | Basque, euskara
fa | fas per pes prs | Persian, Farsi, فارسی
fi | fin | Finnish, suomi
fil | fil | Filipino
fr | fra fre | French, français
ga | gle | Irish, Gaeilge
gl | glg | Galician, galego
gn | grn gug | Guarani
gu | guj | Gujarati, ગુજરાતી
ha | hau | Hausa
he | heb | Hebrew, עברית
hi | hin | Hindi, हिन्दी
hr | hrv | Croatian, hrvatski
ht | hat | Haitian Creole, Haitian, kreyòl ayisyen
hu | hun | Hungarian, magyar
hy | hye arm | Armenian, հայերեն
id | ind | Indonesian, Bahasa Indonesia
ig | ibo | Igbo
is | isl ice | Icelandic, íslenska
it | ita | Italian, italiano
ja | jpn | Japanese, 日本語
jv | jav | Javanese
ka | kat geo | Georgian, ქართული
kk | kaz | Kazakh, қазақ тілі
km | khm | Khmer, ភាសាខ្មែរ
kn | kan | Kannada, ಕನ್ನಡ
ko | kor | Korean, 한국어
ky | kir | Kyrgyz, кыргызча
lg | lug | Ganda, Luganda
ln | lin | Lingala
lo | lao | Lao, ລາວ
lt | lit | Lithuanian, lietuvių
lv | lav lvs | Latvian, latviešu
mg | mlg plt | Malagasy
mi | mri mao | Maori
mk | mkd mac | Macedonian, македонски
ml | mal | Malayalam, മലയാളം
mn | mon khk | Mongolian, монгол
mr | mar | Marathi, मराठी
ms | msa may zsm | Malay, Bahasa Melayu
mt | mlt | Maltese, Malti
my | mya bur | Burmese, မြန်မာ
ne | nep npi | Nepali, नेपाली
nl | nld dut | Dutch, Nederlands
no | nor nob nno nb nn | Norwegian, norsk
ny | nya | Chewa, Chichewa, Nyanja
om | orm gaz | Oromo, Afaan Oromoo
or | ori ory | Odia, Oriya, ଓଡ଼ିଆ
pa | pan | Punjabi, ਪੰਜਾਬੀ
pl | pol | Polish, polski
ps | pus pbt | Pashto, پښتو
pt | por | Portuguese, português
qu | que quy quz | Quechua, runasimi
ro | ron rum | Romanian, română
ru | rus | Russian, русский
rw | kin | Kinyarwanda
sd | snd | Sindhi
si | sin | Sinhala, සිංහල
sk | slk slo | Slovak, slovenčina
sl | slv | Slovenian, Slovene, slovenščina
sn | sna | Shona
so | som | Somali, Soomaali
sq | sqi alb als | Albanian, shqip
sr | srp | Serbian, српски, srpski
ss | ssw | Swati
st | sot | Southern Sotho, Sesotho
su | sun | Sundanese
sv | swe | Swedish, svenska
sw | swa swh swc | Swahili, Kiswahili
ta | tam | Tamil, தமிழ்
te | tel | Telugu, తెలుగు
tg | tgk | Tajik, тоҷикӣ
th | tha | Thai, ไทย, ภาษาไทย
ti | tir | Tigrinya, ትግርኛ
tl | tgl | Tagalog
tn | tsn | Tswana, Setswana
tr | tur | Turkish, Türkçe
ts | tso | Tsonga
tw | twi | Twi
uk | ukr | Ukrainian, українська
ur | urd | Urdu, اردو
uz | uzb uzn | Uzbek, oʻzbekcha
vi | vie | Vietnamese, Tiếng Việt
wo | wol | Wolof
xh | xho | Xhosa, isiXhosa
yo | yor | Yoruba, Yorùbá
zh | zho chi cmn | Chinese, Mandarin, 中文, 汉语, 漢語, 简体中文, 繁體中文, 普通话
zu | zul | Zulu, isiZulu
"""


def language_code(written: str) -> str | None:
    """Return the code of the language that a code, tag or name means; None where it is unknown."""
    if written in LANGUAGES:
        return written
    name = _plain(written)
    known = _names()
    for candidate in (name, re.sub(r"\s*\(.*?\)\s*", " ", name).strip(), re.split(r"[-_]", name)[0]):
        if candidate in LANGUAGES:
            return candidate
        if candidate in known:
            return known[candidate]
    own = {_plain(text): code for code, language in LANGUAGES.items() for text in (language.name, language.flores)}
    return own.get(name) if name else None


def nearest_code(written: str) -> str | None:
    """Return the code of the language whose name is nearest to a misspelt one; None where none is near."""
    names = _names()
    near = get_close_matches(_plain(written), [name for name in names if len(name) > 3], n=1, cutoff=0.75)
    return names[near[0]] if near else None


def did_you_mean(written: str, *, known: Iterable[str]) -> str:
    """Return "; did you mean 'sw'?" for another way to write one of the known languages, or a misspelt one; else ""."""
    code = language_code(written) or nearest_code(written)
    return f"; did you mean {code!r}?" if code in set(known) and code != written else ""


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        code, codes, written = (part.strip() for part in line.split("|"))
        names |= dict.fromkeys((code, *codes.split(), *map(_plain, written.split(","))), code)
    return names


def _plain(written: str) -> str:
    """Return a name as it is looked up: composed accents (NFC), no case, single spaces."""
    return " ".join(unicodedata.normalize("NFC", written).casefold().split())
