"""Hold one short solution in every language, for the tests of gates."""

ENGLISH = "Anna had 12 apples and bought 3 more, so now she has 12 + 3 = 15 apples."
FAITHFUL = {
    "en": ENGLISH,
    "de": "Anna hatte 12 Äpfel und kaufte 3 weitere, also hat sie jetzt 12 + 3 = 15 Äpfel.",
    "es": "Ana tenía 12 manzanas y compró 3 más, así que ahora tiene 12 + 3 = 15 manzanas.",
    "fr": "Anna avait 12 pommes et en a acheté 3 autres, elle a donc maintenant 12 + 3 = 15 pommes.",
    "ru": "У Анны было 12 яблок, она купила ещё 3, значит, теперь у неё 12 + 3 = 15 яблок.",
    "zh": "安娜有 12 个苹果，又买了 3 个，所以现在她有 12 + 3 = 15 个苹果。",
    "ja": "アンナはりんごを12個持っていて、さらに3個買ったので、今は12+3=15個のりんごがあります。",
    "th": "แอนนามีแอปเปิล 12 ผล และซื้อเพิ่มอีก 3 ผล ดังนั้นตอนนี้เธอมี 12 + 3 = 15 ผล",
    "sw": "Anna alikuwa na matufaha 12 na akanunua mengine 3, kwa hivyo sasa ana matufaha 12 + 3 = 15.",
    "bn": "আনার 12টি আপেল ছিল এবং সে আরও 3টি কিনেছে, তাই এখন তার 12 + 3 = 15টি আপেল আছে।",
    "te": "అన్నా వద్ద 12 ఆపిల్స్ ఉన్నాయి, ఆమె మరో 3 కొనుగోలు చేసింది, కాబట్టి ఇప్పుడు 12 + 3 = 15 ఉన్నాయి.",
    "ar": "كان لدى آنا 12 تفاحة واشترت 3 تفاحات أخرى، لذلك لديها الآن 12 + 3 = 15 تفاحة.",
}
TARGETS = tuple(code for code in FAITHFUL if code != "en")
