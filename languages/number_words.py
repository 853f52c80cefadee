"""Small whole numbers as each language spells them out in running text: 2 to 20, the tens, 100.

Owns data only. A leaf: imports nothing of the project. Left out is every word that mostly means something else: the
ones, which are articles or pronouns; in Chinese, Japanese and Thai all that also stands inside other words.
"""

from collections.abc import Mapping


def _words(units: str, tens: str, hundred: str = "") -> Mapping[str, int]:
    """Words in rising order: `units` from 2, `tens` from 20. "|" parts the spellings of a number, "-" skips one."""
    counted = [*enumerate(units.split(), 2), *((10 * ten, word) for ten, word in enumerate(tens.split(), 2))]
    spellings = {word: number for number, words in counted for word in words.split("|") if word != "-"}
    return spellings | {word: 100 for word in hundred.split("|") if word}


SMALL_NUMBERS: Mapping[str, Mapping[str, int]] = {
    "en": _words(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen",
        "twenty thirty forty fifty sixty seventy eighty ninety",
        "hundred",
    ),
    "de": _words(
        "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
        "achtzehn neunzehn",
        "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
        "hundert",
    ),
    "es": _words(
        "dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
        "dieciocho diecinueve",
        "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
        "cien",
    ),
    "fr": _words(
        "deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
        "dix-neuf",
        "vingt trente quarante cinquante soixante soixante-dix quatre-vingts|quatre-vingt quatre-vingt-dix",
        "cent",
    ),
    "ru": _words(
        "два|две|двух|двум|двумя три|трёх|трех|трём|тремя четыре|четырёх|четырех|четырём пять|пяти шесть|шести "
        "семь восемь|восьми девять|девяти десять|десяти одиннадцать|одиннадцати двенадцать|двенадцати "
        "тринадцать четырнадцать пятнадцать шестнадцать семнадцать восемнадцать девятнадцать",
        "двадцать|двадцати тридцать|тридцати сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто",
        "сто",
    ),
    "zh": _words("两|兩 三倍 四倍 五倍 六倍 七倍 八倍 九倍 十倍", ""),
    "ja": _words("二つ|二人 三つ|三人|三倍 四つ|四人|四倍 五つ|五人|五倍 六つ|六人 七つ|七人 八つ|八人 九つ|九人", ""),
    "th": _words(
        "สอง - สี่ - หก เจ็ด แปด - สิบ สิบเอ็ด สิบสอง สิบสาม สิบสี่ สิบห้า สิบหก สิบเจ็ด สิบแปด สิบเก้า",
        "ยี่สิบ สามสิบ สี่สิบ ห้าสิบ หกสิบ เจ็ดสิบ แปดสิบ เก้าสิบ",
        "หนึ่งร้อย",
    ),
    "sw": _words(
        "mbili|wawili|viwili|mawili|miwili tatu|watatu|vitatu|matatu|mitatu nne|wanne|vinne|manne|minne "
        "tano|watano|vitano|matano|mitano sita saba nane|wanane|vinane tisa kumi",
        "ishirini thelathini arobaini|arubaini hamsini sitini sabini themanini tisini",
        "mia",
    ),
    "bn": _words(
        "দুই|দুটি|দুটো তিন|তিনটি|তিনটে চার|চারটি|চারটে পাঁচ|পাঁচটি ছয়|ছয়টি সাত|সাতটি আট|আটটি নয়টি দশ|দশটি "
        "এগারো বারো তেরো চৌদ্দ|চোদ্দ পনেরো ষোলো|ষোল সতেরো আঠারো উনিশ",
        "কুড়ি|বিশ ত্রিশ|তিরিশ চল্লিশ পঞ্চাশ ষাট সত্তর আশি নব্বই",
    ),
    "te": _words(
        "రెండు|ఇద్దరు మూడు|ముగ్గురు నాలుగు|నలుగురు ఐదు|ఐదుగురు ఆరు ఏడు ఎనిమిది తొమ్మిది పది పదకొండు పన్నెండు "
        "పదమూడు పద్నాలుగు పదిహేను పదహారు పదిహేడు పద్దెనిమిది పంతొమ్మిది",
        "ఇరవై ముప్పై నలభై యాభై అరవై డెబ్బై ఎనభై తొంభై",
        "వంద",
    ),
    "ar": _words(
        "اثنان|اثنين|اثنتان|اثنتين ثلاثة|ثلاث أربعة|أربع خمسة|خمس ستة|ست سبعة|سبع ثمانية|ثماني|ثمان تسعة|تسع عشرة|عشر",
        "عشرون|عشرين ثلاثون|ثلاثين أربعون|أربعين خمسون|خمسين ستون|ستين سبعون|سبعين ثمانون|ثمانين تسعون|تسعين",
        "مئة|مائة",
    ),
}
