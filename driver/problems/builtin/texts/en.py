"""The built-in problems in English: words only. The other languages say what this file says."""

from driver.problems.builtin.texts.wording import LanguageText

TEXT = LanguageText(
    language="en",
    question_mark="?",
    girls=("Maria", "Clara", "Lena", "Sofia", "Nina", "Julia", "Rosa", "Vera"),
    boys=("David", "Leo", "Martin", "Tom", "Paul", "Daniel", "Robert", "Victor"),
    sentences={
        # One step.
        "gift": (
            "{p} has {a} apples. {q} gives her {b} more apples. How many apples does {p} have now?",
            "{p} now has {eq} apples.",
        ),
        "bus": (
            (
                "There are {a} passengers on a bus. At the next stop, {b} more passengers get on. "
                "How many passengers are on the bus now?"
            ),
            "There are now {eq} passengers on the bus.",
        ),
        "plate": (
            "There are {a} cookies on a plate. {q} eats {b} cookies. How many cookies are left on the plate?",
            "There are {eq} cookies left on the plate.",
        ),
        "stickers": (
            "{p} has {a} stickers. {q} has {b} stickers. How many more stickers does {p} have than {q}?",
            "{p} has {eq} more stickers than {q}.",
        ),
        "oranges": (
            "{p} has {a} bags. There are {b} oranges in each bag. How many oranges does {p} have in total?",
            "{p} has {eq} oranges in total.",
        ),
        "candies": (
            "{q} shares {a} candies equally among {b} children. How many candies does each child get?",
            "Each child gets {eq} candies.",
        ),
        # Two steps.
        "pears": (
            (
                "{q} picks {a} pears in the morning and {b} pears in the afternoon. He gives away {c} pears. "
                "How many pears does {q} have left?"
            ),
            "{q} picks {eq} pears in total.",
            "He has {eq} pears left.",
        ),
        "pencils": (
            (
                "{p} buys {a} packs of pencils. There are {b} pencils in each pack. She gives {c} pencils to {q}. "
                "How many pencils does {p} have left?"
            ),
            "{p} buys {eq} pencils.",
            "She has {eq} pencils left.",
        ),
        "shelves": (
            (
                "There are {a} shelves in a room with {b} books on each shelf. There are {c} more books on the table. "
                "How many books are in the room in total?"
            ),
            "There are {eq} books on the shelves.",
            "There are {eq} books in the room in total.",
        ),
        "vases": (
            (
                "{p} has {a} roses and {b} tulips. She puts the same number of flowers into each of {c} vases. "
                "How many flowers are in each vase?"
            ),
            "{p} has {eq} flowers.",
            "There are {eq} flowers in each vase.",
        ),
        "eggs": (
            (
                "{q} has {a} eggs. He uses {b} eggs for a cake. He puts the rest equally into {c} boxes. "
                "How many eggs are in each box?"
            ),
            "After the cake, {q} has {eq} eggs left.",
            "There are {eq} eggs in each box.",
        ),
        "coins": (
            "{p} has {a} coins. {q} has {b} times as many coins as {p}. How many coins do they have together?",
            "{q} has {eq} coins.",
            "Together they have {eq} coins.",
        ),
        # Three steps.
        "tickets": (
            (
                "A group of {a} adults and {c} children visits a zoo. A ticket costs {b} euros for an adult and "
                "{d} euros for a child. How many euros do all the tickets cost together?"
            ),
            "The tickets for the adults cost {eq} euros.",
            "The tickets for the children cost {eq} euros.",
            "All the tickets together cost {eq} euros.",
        ),
        "savings": (
            (
                "{q} saves {a} euros a week for {b} weeks. Then he buys a book for {c} euros and a ball for {d} euros. "
                "How many euros does {q} have left?"
            ),
            "{q} saves {eq} euros.",
            "After the book, he has {eq} euros left.",
            "After the ball, he has {eq} euros left.",
        ),
        "cards": (
            (
                "{p} has {a} cards. {q} has {b} more cards than {p}. They put all their cards together and make "
                "{c} equal piles. How many cards are in each pile?"
            ),
            "{q} has {eq} cards.",
            "Together they have {eq} cards.",
            "There are {eq} cards in each pile.",
        ),
        "rolls": (
            (
                "{q} bakes {a} trays of rolls with {b} rolls on each tray. He sells {c} rolls and puts the rest "
                "equally into {d} bags. How many rolls are in each bag?"
            ),
            "{q} bakes {eq} rolls.",
            "He has {eq} rolls left.",
            "There are {eq} rolls in each bag.",
        ),
        "book": (
            (
                "A book has {a} pages. {p} reads {b} pages a day for {c} days. She wants to read the rest in {d} days, "
                "with the same number of pages every day. How many pages must she then read each day?"
            ),
            "{p} has read {eq} pages so far.",
            "There are {eq} pages left.",
            "She must read {eq} pages each day.",
        ),
        "marbles": (
            (
                "{p} has {a} red marbles and {b} blue marbles. {q} has {c} times as many marbles as {p}. "
                "Then {q} loses {d} marbles. How many marbles does {q} have now?"
            ),
            "{p} has {eq} marbles.",
            "At first, {q} has {eq} marbles.",
            "Now {q} has {eq} marbles.",
        ),
        # Four steps.
        "shop": (
            (
                "{p} has {e} euros. She buys {a} notebooks for {b} euros each and {c} pens for {d} euros each. "
                "How many euros does {p} have left?"
            ),
            "The notebooks cost {eq} euros.",
            "The pens cost {eq} euros.",
            "Together they cost {eq} euros.",
            "{p} has {eq} euros left.",
        ),
        "baskets": (
            (
                "{p} fills {a} baskets with {b} plums each. {q} brings {c} more plums. They eat {d} plums "
                "and put the rest equally into {e} bowls. How many plums are in each bowl?"
            ),
            "There are {eq} plums in the baskets.",
            "With the plums from {q}, there are {eq} plums.",
            "After eating, they have {eq} plums left.",
            "There are {eq} plums in each bowl.",
        ),
        "stops": (
            (
                "There are {a} people on a train. At the first station, {b} people get off and {c} people get on. "
                "At the second station, {d} people get off and {e} people get on. How many people are on the train now?"
            ),
            "After people get off at the first station, there are {eq} people on the train.",
            "After people get on, there are {eq} people on the train.",
            "After people get off at the second station, there are {eq} people on the train.",
            "After people get on, there are now {eq} people on the train.",
        ),
        "wages": (
            (
                "{q} works {a} hours a day for {b} days and earns {c} euros per hour. "
                "He spends {d} euros of this on shoes. Then his grandmother gives him {e} euros. "
                "How many euros does {q} have now?"
            ),
            "{q} works {eq} hours.",
            "He earns {eq} euros.",
            "After buying the shoes, he has {eq} euros left.",
            "Now he has {eq} euros.",
        ),
        "school": (
            (
                "A school has {a} classes. Each class has {b} girls and {c} boys. Today {d} children are ill. "
                "The others form {e} groups of the same size. How many children are in each group?"
            ),
            "Each class has {eq} children.",
            "The school has {eq} children.",
            "Today {eq} children are at school.",
            "There are {eq} children in each group.",
        ),
        "stamps": (
            (
                "{p} has {a} stamps. {q} has {b} times as many stamps as {p}. Together they give away {c} stamps "
                "and put the rest equally into {d} albums. How many stamps are in each album?"
            ),
            "{q} has {eq} stamps.",
            "Together they have {eq} stamps.",
            "They have {eq} stamps left.",
            "There are {eq} stamps in each album.",
        ),
    },
)
