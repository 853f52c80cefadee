"""The built-in problems in Swahili: words only.

A number follows its noun, and the noun's class governs what is said of it, so a step ends with its equation. The name
Leo would read as "today": it is Leon here.
"""

from driver.problems.builtin.texts.wording import LanguageText

TEXT = LanguageText(
    language="sw",
    question_mark="?",
    girls=("Maria", "Klara", "Lena", "Sofia", "Nina", "Julia", "Rosa", "Vera"),
    boys=("Daudi", "Leon", "Martin", "Tom", "Paulo", "Daniel", "Robert", "Victor"),
    sentences={
        # One step.
        "gift": (
            "{p} ana matofaa {a}. {q} anampa matofaa mengine {b}. Sasa {p} ana matofaa mangapi?",
            "Sasa {p} ana matofaa {eq}.",
        ),
        "bus": (
            (
                "Kuna abiria {a} ndani ya basi. Katika kituo kinachofuata, abiria wengine {b} wanapanda. Sasa kuna "
                "abiria wangapi ndani ya basi?"
            ),
            "Sasa kuna abiria {eq} ndani ya basi.",
        ),
        "plate": (
            "Kuna biskuti {a} kwenye sahani. {q} anakula biskuti {b}. Biskuti ngapi zimebaki kwenye sahani?",
            "Biskuti {eq} zimebaki kwenye sahani.",
        ),
        "stickers": (
            "{p} ana vibandiko {a}. {q} ana vibandiko {b}. {p} ana vibandiko vingapi zaidi kuliko {q}?",
            "{p} ana vibandiko {eq} zaidi kuliko {q}.",
        ),
        "oranges": (
            "{p} ana mifuko {a}. Kila mfuko una machungwa {b}. Kwa jumla {p} ana machungwa mangapi?",
            "Kwa jumla {p} ana machungwa {eq}.",
        ),
        "candies": (
            "{q} anawagawia watoto {b} peremende {a} kwa usawa. Kila mtoto anapata peremende ngapi?",
            "Kila mtoto anapata peremende {eq}.",
        ),
        # Two steps.
        "pears": (
            (
                "{q} anachuma mapeasi {a} asubuhi na mapeasi {b} alasiri. Kisha anawapa wengine mapeasi {c}. {q} "
                "anabaki na mapeasi mangapi?"
            ),
            "Kwa jumla {q} anachuma mapeasi {eq}.",
            "Anabaki na mapeasi {eq}.",
        ),
        "pencils": (
            (
                "{p} ananunua pakiti {a} za penseli. Kila pakiti ina penseli {b}. Anampa {q} penseli {c}. {p} anabaki "
                "na penseli ngapi?"
            ),
            "{p} ananunua penseli {eq}.",
            "Anabaki na penseli {eq}.",
        ),
        "shelves": (
            (
                "Chumbani kuna rafu {a}, na kila rafu ina vitabu {b}. Juu ya meza kuna vitabu vingine {c}. Kwa jumla "
                "kuna vitabu vingapi chumbani?"
            ),
            "Kwenye rafu kuna vitabu {eq}.",
            "Kwa jumla kuna vitabu {eq} chumbani.",
        ),
        "vases": (
            (
                "{p} ana maua {a} ya waridi na maua {b} ya tulipu. Anaweka maua yote katika vyombo {c} vya maua, idadi "
                "sawa katika kila chombo. Kila chombo kina maua mangapi?"
            ),
            "{p} ana maua {eq}.",
            "Kila chombo kina maua {eq}.",
        ),
        "eggs": (
            (
                "{q} ana mayai {a}. Anatumia mayai {b} kutengeneza keki. Mayai yaliyobaki anayagawa kwa usawa katika "
                "maboksi {c}. Kila boksi lina mayai mangapi?"
            ),
            "Baada ya kutengeneza keki, {q} anabaki na mayai {eq}.",
            "Kila boksi lina mayai {eq}.",
        ),
        "coins": (
            (
                "{p} ana sarafu {a}. Idadi ya sarafu za {q} ni mara {b} ya idadi ya sarafu za {p}. Kwa pamoja wana "
                "sarafu ngapi?"
            ),
            "{q} ana sarafu {eq}.",
            "Kwa pamoja wana sarafu {eq}.",
        ),
        # Three steps.
        "tickets": (
            (
                "Kundi la watu wazima {a} na watoto {c} linatembelea bustani ya wanyama. Tiketi ya mtu mzima ni euro "
                "{b}, na tiketi ya mtoto ni euro {d}. Tiketi zote kwa jumla zinagharimu euro ngapi?"
            ),
            "Tiketi za watu wazima zinagharimu euro {eq}.",
            "Tiketi za watoto zinagharimu euro {eq}.",
            "Tiketi zote kwa jumla zinagharimu euro {eq}.",
        ),
        "savings": (
            (
                "{q} anaweka akiba ya euro {a} kila wiki kwa muda wa wiki {b}. Kisha ananunua kitabu kwa euro {c} na "
                "mpira kwa euro {d}. {q} anabaki na euro ngapi?"
            ),
            "Kwa jumla {q} anaweka akiba ya euro {eq}.",
            "Baada ya kununua kitabu, anabaki na euro {eq}.",
            "Baada ya kununua mpira, anabaki na euro {eq}.",
        ),
        "cards": (
            (
                "{p} ana kadi {a}. {q} ana kadi {b} zaidi kuliko {p}. Wanakusanya kadi zao zote, kisha wanazigawa "
                "katika mafungu {c} yaliyo sawa. Kila fungu lina kadi ngapi?"
            ),
            "{q} ana kadi {eq}.",
            "Kwa pamoja wana kadi {eq}.",
            "Kila fungu lina kadi {eq}.",
        ),
        "rolls": (
            (
                "{q} anaoka mikate midogo katika trei {a}. Kila trei ina mikate {b}. Anauza mikate {c}, na mikate "
                "iliyobaki anaigawa kwa usawa katika mifuko {d}. Kila mfuko una mikate mingapi?"
            ),
            "{q} anaoka mikate {eq}.",
            "Anabaki na mikate {eq}.",
            "Kila mfuko una mikate {eq}.",
        ),
        "book": (
            (
                "Kitabu kina kurasa {a}. {p} anasoma kurasa {b} kila siku kwa muda wa siku {c}. Anataka kumaliza "
                "kurasa zilizobaki katika siku {d}, akisoma idadi sawa ya kurasa kila siku. Sasa anapaswa kusoma "
                "kurasa ngapi kila siku?"
            ),
            "Kufikia sasa, {p} amesoma kurasa {eq}.",
            "Kurasa zilizobaki ni {eq}.",
            "Anapaswa kusoma kurasa {eq} kila siku.",
        ),
        "marbles": (
            (
                "{p} ana gololi nyekundu {a} na gololi za bluu {b}. Idadi ya gololi za {q} ni mara {c} ya idadi ya "
                "gololi zote za {p}. Kisha {q} anapoteza gololi {d}. Sasa {q} ana gololi ngapi?"
            ),
            "{p} ana gololi {eq}.",
            "Mwanzoni {q} alikuwa na gololi {eq}.",
            "Sasa {q} ana gololi {eq}.",
        ),
        # Four steps.
        "shop": (
            (
                "{p} ana euro {e}. Ananunua madaftari {a} kwa euro {b} kila moja na kalamu {c} kwa euro {d} kila moja. "
                "{p} anabaki na euro ngapi?"
            ),
            "Madaftari yanagharimu euro {eq}.",
            "Kalamu zinagharimu euro {eq}.",
            "Vyote kwa pamoja vinagharimu euro {eq}.",
            "{p} anabaki na euro {eq}.",
        ),
        "baskets": (
            (
                "{p} anaweka plamu katika vikapu {a}, na kila kikapu kina plamu {b}. {q} analeta plamu nyingine {c}. "
                "Wanakula plamu {d}, na zilizobaki wanazigawa kwa usawa katika mabakuli {e}. Kila bakuli lina plamu "
                "ngapi?"
            ),
            "Katika vikapu kuna plamu {eq}.",
            "Pamoja na plamu za {q}, kuna plamu {eq}.",
            "Baada ya kula, wanabaki na plamu {eq}.",
            "Kila bakuli lina plamu {eq}.",
        ),
        "stops": (
            (
                "Kuna watu {a} ndani ya treni. Katika kituo cha kwanza, watu {b} wanashuka na watu {c} wanapanda. "
                "Katika kituo cha pili, watu {d} wanashuka na watu {e} wanapanda. Sasa kuna watu wangapi ndani ya "
                "treni?"
            ),
            "Baada ya watu kushuka katika kituo cha kwanza, kuna watu {eq} ndani ya treni.",
            "Baada ya watu kupanda, kuna watu {eq} ndani ya treni.",
            "Baada ya watu kushuka katika kituo cha pili, kuna watu {eq} ndani ya treni.",
            "Baada ya watu kupanda, sasa kuna watu {eq} ndani ya treni.",
        ),
        "wages": (
            (
                "{q} anafanya kazi kwa muda wa saa {a} kila siku kwa siku {b}, na analipwa euro {c} kwa kila saa. "
                "Anatumia euro {d} kati ya pesa hizo kununua viatu. Kisha bibi yake anampa euro {e}. Sasa {q} ana euro "
                "ngapi?"
            ),
            "Kwa jumla {q} anafanya kazi kwa muda wa saa {eq}.",
            "Analipwa euro {eq}.",
            "Baada ya kununua viatu, anabaki na euro {eq}.",
            "Sasa ana euro {eq}.",
        ),
        "school": (
            (
                "Shule ina madarasa {a}. Kila darasa lina wasichana {b} na wavulana {c}. Leo watoto {d} ni wagonjwa. "
                "Watoto wengine wote wanaunda vikundi {e} vyenye idadi sawa ya watoto. Kila kikundi kina watoto "
                "wangapi?"
            ),
            "Kila darasa lina watoto {eq}.",
            "Shule ina watoto {eq}.",
            "Leo kuna watoto {eq} shuleni.",
            "Kila kikundi kina watoto {eq}.",
        ),
        "stamps": (
            (
                "{p} ana stempu {a}. Idadi ya stempu za {q} ni mara {b} ya idadi ya stempu za {p}. Kwa pamoja wanawapa "
                "wengine stempu {c}, na zilizobaki wanazigawa kwa usawa katika albamu {d}. Kila albamu ina stempu "
                "ngapi?"
            ),
            "{q} ana stempu {eq}.",
            "Kwa pamoja wana stempu {eq}.",
            "Wanabaki na stempu {eq}.",
            "Kila albamu ina stempu {eq}.",
        ),
    },
)
