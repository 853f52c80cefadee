"""The built-in problems in German: words only."""

from driver.problems.builtin.texts.wording import LanguageText

TEXT = LanguageText(
    language="de",
    question_mark="?",
    girls=("Maria", "Clara", "Lena", "Sofia", "Nina", "Julia", "Rosa", "Vera"),
    boys=("David", "Leo", "Martin", "Tom", "Paul", "Daniel", "Robert", "Viktor"),
    sentences={
        # One step.
        "gift": (
            "{p} hat {a} Äpfel. {q} gibt ihr {b} weitere Äpfel. Wie viele Äpfel hat {p} jetzt?",
            "{p} hat jetzt {eq} Äpfel.",
        ),
        "bus": (
            (
                "In einem Bus sitzen {a} Fahrgäste. An der nächsten Haltestelle steigen {b} weitere Fahrgäste ein. "
                "Wie viele Fahrgäste sind jetzt im Bus?"
            ),
            "Im Bus sind jetzt {eq} Fahrgäste.",
        ),
        "plate": (
            "Auf einem Teller liegen {a} Kekse. {q} isst {b} Kekse. Wie viele Kekse liegen noch auf dem Teller?",
            "Auf dem Teller liegen noch {eq} Kekse.",
        ),
        "stickers": (
            "{p} hat {a} Sticker. {q} hat {b} Sticker. Wie viele Sticker hat {p} mehr als {q}?",
            "{p} hat {eq} Sticker mehr als {q}.",
        ),
        "oranges": (
            "{p} hat {a} Tüten. In jeder Tüte sind {b} Orangen. Wie viele Orangen hat {p} insgesamt?",
            "{p} hat insgesamt {eq} Orangen.",
        ),
        "candies": (
            "{q} verteilt {a} Bonbons gleichmäßig an {b} Kinder. Wie viele Bonbons bekommt jedes Kind?",
            "Jedes Kind bekommt {eq} Bonbons.",
        ),
        # Two steps.
        "pears": (
            (
                "{q} pflückt am Vormittag {a} Birnen und am Nachmittag {b} Birnen. Er verschenkt {c} Birnen. Wie "
                "viele Birnen hat {q} noch?"
            ),
            "{q} pflückt insgesamt {eq} Birnen.",
            "Er hat noch {eq} Birnen.",
        ),
        "pencils": (
            (
                "{p} kauft {a} Packungen Bleistifte. In jeder Packung sind {b} Bleistifte. Sie schenkt {q} {c} "
                "Bleistifte. Wie viele Bleistifte hat {p} noch?"
            ),
            "{p} kauft {eq} Bleistifte.",
            "Sie hat noch {eq} Bleistifte.",
        ),
        "shelves": (
            (
                "In einem Zimmer stehen {a} Regale mit je {b} Büchern. Auf dem Tisch liegen {c} weitere Bücher. Wie "
                "viele Bücher sind insgesamt im Zimmer?"
            ),
            "In den Regalen stehen {eq} Bücher.",
            "Im Zimmer sind insgesamt {eq} Bücher.",
        ),
        "vases": (
            (
                "{p} hat {a} Rosen und {b} Tulpen. Sie verteilt die Blumen gleichmäßig auf {c} Vasen. Wie viele "
                "Blumen sind in jeder Vase?"
            ),
            "{p} hat {eq} Blumen.",
            "In jeder Vase sind {eq} Blumen.",
        ),
        "eggs": (
            (
                "{q} hat {a} Eier. Er braucht {b} Eier für einen Kuchen. Den Rest verteilt er gleichmäßig auf {c} "
                "Schachteln. Wie viele Eier sind in jeder Schachtel?"
            ),
            "Nach dem Kuchen hat {q} noch {eq} Eier.",
            "In jeder Schachtel sind {eq} Eier.",
        ),
        "coins": (
            "{p} hat {a} Münzen. {q} hat {b}-mal so viele Münzen wie {p}. Wie viele Münzen haben sie zusammen?",
            "{q} hat {eq} Münzen.",
            "Zusammen haben sie {eq} Münzen.",
        ),
        # Three steps.
        "tickets": (
            (
                "Eine Gruppe von {a} Erwachsenen und {c} Kindern besucht einen Zoo. Eine Eintrittskarte kostet {b} "
                "Euro für einen Erwachsenen und {d} Euro für ein Kind. Wie viel Euro kosten alle Karten zusammen?"
            ),
            "Die Karten für die Erwachsenen kosten {eq} Euro.",
            "Die Karten für die Kinder kosten {eq} Euro.",
            "Alle Karten zusammen kosten {eq} Euro.",
        ),
        "savings": (
            (
                "{q} spart {b} Wochen lang jede Woche {a} Euro. Dann kauft er ein Buch für {c} Euro und einen Ball "
                "für {d} Euro. Wie viel Euro hat {q} noch?"
            ),
            "{q} spart {eq} Euro.",
            "Nach dem Kauf des Buches hat er noch {eq} Euro.",
            "Nach dem Kauf des Balls hat er noch {eq} Euro.",
        ),
        "cards": (
            (
                "{p} hat {a} Karten. {q} hat {b} Karten mehr als {p}. Sie legen alle ihre Karten zusammen und bilden "
                "{c} gleich große Stapel. Wie viele Karten sind in jedem Stapel?"
            ),
            "{q} hat {eq} Karten.",
            "Zusammen haben sie {eq} Karten.",
            "In jedem Stapel sind {eq} Karten.",
        ),
        "rolls": (
            (
                "{q} backt {a} Bleche mit je {b} Brötchen. Er verkauft {c} Brötchen und verteilt den Rest gleichmäßig "
                "auf {d} Tüten. Wie viele Brötchen sind in jeder Tüte?"
            ),
            "{q} backt {eq} Brötchen.",
            "Er hat noch {eq} Brötchen.",
            "In jeder Tüte sind {eq} Brötchen.",
        ),
        "book": (
            (
                "Ein Buch hat {a} Seiten. {p} liest {c} Tage lang {b} Seiten pro Tag. Den Rest will sie in {d} Tagen "
                "lesen, jeden Tag gleich viele Seiten. Wie viele Seiten muss sie dann pro Tag lesen?"
            ),
            "{p} hat bisher {eq} Seiten gelesen.",
            "Es bleiben {eq} Seiten übrig.",
            "Sie muss pro Tag {eq} Seiten lesen.",
        ),
        "marbles": (
            (
                "{p} hat {a} rote Murmeln und {b} blaue Murmeln. {q} hat {c}-mal so viele Murmeln wie {p}. Dann "
                "verliert {q} {d} Murmeln. Wie viele Murmeln hat {q} jetzt?"
            ),
            "{p} hat {eq} Murmeln.",
            "Zuerst hat {q} {eq} Murmeln.",
            "Jetzt hat {q} {eq} Murmeln.",
        ),
        # Four steps.
        "shop": (
            (
                "{p} hat {e} Euro. Sie kauft {a} Hefte für je {b} Euro und {c} Stifte für je {d} Euro. Wie viel Euro "
                "hat {p} noch?"
            ),
            "Die Hefte kosten {eq} Euro.",
            "Die Stifte kosten {eq} Euro.",
            "Zusammen kosten sie {eq} Euro.",
            "{p} hat noch {eq} Euro.",
        ),
        "baskets": (
            (
                "{p} füllt {a} Körbe mit je {b} Pflaumen. {q} bringt {c} weitere Pflaumen. Sie essen {d} Pflaumen und "
                "verteilen den Rest gleichmäßig auf {e} Schüsseln. Wie viele Pflaumen sind in jeder Schüssel?"
            ),
            "In den Körben sind {eq} Pflaumen.",
            "Mit den Pflaumen von {q} sind es {eq} Pflaumen.",
            "Nach dem Essen haben sie noch {eq} Pflaumen.",
            "In jeder Schüssel sind {eq} Pflaumen.",
        ),
        "stops": (
            (
                "In einem Zug sitzen {a} Personen. Am ersten Bahnhof steigen {b} Personen aus und {c} Personen ein. "
                "Am zweiten Bahnhof steigen {d} Personen aus und {e} Personen ein. Wie viele Personen sind jetzt im "
                "Zug?"
            ),
            "Nach dem Aussteigen am ersten Bahnhof sind {eq} Personen im Zug.",
            "Nach dem Einsteigen sind {eq} Personen im Zug.",
            "Nach dem Aussteigen am zweiten Bahnhof sind {eq} Personen im Zug.",
            "Nach dem Einsteigen sind jetzt {eq} Personen im Zug.",
        ),
        "wages": (
            (
                "{q} arbeitet {b} Tage lang {a} Stunden pro Tag und verdient {c} Euro pro Stunde. Davon gibt er {d} "
                "Euro für Schuhe aus. Dann schenkt ihm seine Großmutter {e} Euro. Wie viel Euro hat {q} jetzt?"
            ),
            "{q} arbeitet {eq} Stunden.",
            "Er verdient {eq} Euro.",
            "Nach dem Kauf der Schuhe hat er noch {eq} Euro.",
            "Jetzt hat er {eq} Euro.",
        ),
        "school": (
            (
                "Eine Schule hat {a} Klassen. In jeder Klasse sind {b} Mädchen und {c} Jungen. Heute sind {d} Kinder "
                "krank. Die anderen bilden {e} gleich große Gruppen. Wie viele Kinder sind in jeder Gruppe?"
            ),
            "In jeder Klasse sind {eq} Kinder.",
            "Die Schule hat {eq} Kinder.",
            "Heute sind {eq} Kinder in der Schule.",
            "In jeder Gruppe sind {eq} Kinder.",
        ),
        "stamps": (
            (
                "{p} hat {a} Briefmarken. {q} hat {b}-mal so viele Briefmarken wie {p}. Zusammen verschenken sie {c} "
                "Briefmarken und verteilen den Rest gleichmäßig auf {d} Alben. Wie viele Briefmarken sind in jedem "
                "Album?"
            ),
            "{q} hat {eq} Briefmarken.",
            "Zusammen haben sie {eq} Briefmarken.",
            "Sie haben noch {eq} Briefmarken.",
            "In jedem Album sind {eq} Briefmarken.",
        ),
    },
)
