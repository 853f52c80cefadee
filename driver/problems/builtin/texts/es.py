"""The built-in problems in Spanish: words only."""

from driver.problems.builtin.texts.wording import LanguageText

TEXT = LanguageText(
    language="es",
    question_mark="?",
    girls=("María", "Clara", "Lena", "Sofía", "Nina", "Julia", "Rosa", "Vera"),
    boys=("David", "Leo", "Martín", "Tomás", "Pablo", "Daniel", "Roberto", "Víctor"),
    sentences={
        # One step.
        "gift": (
            "{p} tiene {a} manzanas. {q} le da {b} manzanas más. ¿Cuántas manzanas tiene {p} ahora?",
            "{p} tiene ahora {eq} manzanas.",
        ),
        "bus": (
            (
                "En un autobús hay {a} pasajeros. En la siguiente parada suben {b} pasajeros más. ¿Cuántos pasajeros "
                "hay ahora en el autobús?"
            ),
            "Ahora hay {eq} pasajeros en el autobús.",
        ),
        "plate": (
            "En un plato hay {a} galletas. {q} se come {b} galletas. ¿Cuántas galletas quedan en el plato?",
            "En el plato quedan {eq} galletas.",
        ),
        "stickers": (
            "{p} tiene {a} pegatinas. {q} tiene {b} pegatinas. ¿Cuántas pegatinas más que {q} tiene {p}?",
            "{p} tiene {eq} pegatinas más que {q}.",
        ),
        "oranges": (
            "{p} tiene {a} bolsas. En cada bolsa hay {b} naranjas. ¿Cuántas naranjas tiene {p} en total?",
            "{p} tiene {eq} naranjas en total.",
        ),
        "candies": (
            "{q} reparte {a} caramelos por igual entre {b} niños. ¿Cuántos caramelos recibe cada niño?",
            "Cada niño recibe {eq} caramelos.",
        ),
        # Two steps.
        "pears": (
            (
                "{q} recoge {a} peras por la mañana y {b} peras por la tarde. Después regala {c} peras. ¿Cuántas "
                "peras le quedan a {q}?"
            ),
            "{q} recoge {eq} peras en total.",
            "Le quedan {eq} peras.",
        ),
        "pencils": (
            (
                "{p} compra {a} paquetes de lápices. En cada paquete hay {b} lápices. Le da {c} lápices a {q}. "
                "¿Cuántos lápices le quedan a {p}?"
            ),
            "{p} compra {eq} lápices.",
            "Le quedan {eq} lápices.",
        ),
        "shelves": (
            (
                "En una habitación hay {a} estantes con {b} libros en cada estante. En la mesa hay {c} libros más. "
                "¿Cuántos libros hay en total en la habitación?"
            ),
            "En los estantes hay {eq} libros.",
            "En la habitación hay {eq} libros en total.",
        ),
        "vases": (
            (
                "{p} tiene {a} rosas y {b} tulipanes. Reparte las flores por igual en {c} jarrones. ¿Cuántas flores "
                "hay en cada jarrón?"
            ),
            "{p} tiene {eq} flores.",
            "En cada jarrón hay {eq} flores.",
        ),
        "eggs": (
            (
                "{q} tiene {a} huevos. Usa {b} huevos para un pastel. Reparte el resto por igual en {c} cajas. "
                "¿Cuántos huevos hay en cada caja?"
            ),
            "Después del pastel, a {q} le quedan {eq} huevos.",
            "En cada caja hay {eq} huevos.",
        ),
        "coins": (
            "{p} tiene {a} monedas. {q} tiene {b} veces más monedas que {p}. ¿Cuántas monedas tienen entre los dos?",
            "{q} tiene {eq} monedas.",
            "Entre los dos tienen {eq} monedas.",
        ),
        # Three steps.
        "tickets": (
            (
                "Un grupo de {a} adultos y {c} niños visita un zoológico. Una entrada cuesta {b} euros para un adulto "
                "y {d} euros para un niño. ¿Cuántos euros cuestan todas las entradas juntas?"
            ),
            "Las entradas de los adultos cuestan {eq} euros.",
            "Las entradas de los niños cuestan {eq} euros.",
            "Todas las entradas juntas cuestan {eq} euros.",
        ),
        "savings": (
            (
                "{q} ahorra {a} euros por semana durante {b} semanas. Luego compra un libro por {c} euros y una "
                "pelota por {d} euros. ¿Cuántos euros le quedan a {q}?"
            ),
            "{q} ahorra {eq} euros.",
            "Después de comprar el libro, le quedan {eq} euros.",
            "Después de comprar la pelota, le quedan {eq} euros.",
        ),
        "cards": (
            (
                "{p} tiene {a} cartas. {q} tiene {b} cartas más que {p}. Juntan todas sus cartas y hacen {c} montones "
                "iguales. ¿Cuántas cartas hay en cada montón?"
            ),
            "{q} tiene {eq} cartas.",
            "Entre los dos tienen {eq} cartas.",
            "En cada montón hay {eq} cartas.",
        ),
        "rolls": (
            (
                "{q} hornea {a} bandejas de panecillos con {b} panecillos en cada bandeja. Vende {c} panecillos y "
                "reparte el resto por igual en {d} bolsas. ¿Cuántos panecillos hay en cada bolsa?"
            ),
            "{q} hornea {eq} panecillos.",
            "Le quedan {eq} panecillos.",
            "En cada bolsa hay {eq} panecillos.",
        ),
        "book": (
            (
                "Un libro tiene {a} páginas. {p} lee {b} páginas al día durante {c} días. Quiere leer el resto en {d} "
                "días, con el mismo número de páginas cada día. ¿Cuántas páginas debe leer entonces cada día?"
            ),
            "{p} ya ha leído {eq} páginas.",
            "Quedan {eq} páginas.",
            "Debe leer {eq} páginas cada día.",
        ),
        "marbles": (
            (
                "{p} tiene {a} canicas rojas y {b} canicas azules. {q} tiene {c} veces más canicas que {p}. Luego {q} "
                "pierde {d} canicas. ¿Cuántas canicas tiene {q} ahora?"
            ),
            "{p} tiene {eq} canicas.",
            "Al principio, {q} tiene {eq} canicas.",
            "Ahora {q} tiene {eq} canicas.",
        ),
        # Four steps.
        "shop": (
            (
                "{p} tiene {e} euros. Compra {a} cuadernos a {b} euros cada uno y {c} bolígrafos a {d} euros cada "
                "uno. ¿Cuántos euros le quedan a {p}?"
            ),
            "Los cuadernos cuestan {eq} euros.",
            "Los bolígrafos cuestan {eq} euros.",
            "Todo junto cuesta {eq} euros.",
            "A {p} le quedan {eq} euros.",
        ),
        "baskets": (
            (
                "{p} llena {a} cestas con {b} ciruelas cada una. {q} trae {c} ciruelas más. Se comen {d} ciruelas y "
                "reparten el resto por igual en {e} cuencos. ¿Cuántas ciruelas hay en cada cuenco?"
            ),
            "En las cestas hay {eq} ciruelas.",
            "Con las ciruelas de {q}, hay {eq} ciruelas.",
            "Después de comer, les quedan {eq} ciruelas.",
            "En cada cuenco hay {eq} ciruelas.",
        ),
        "stops": (
            (
                "En un tren hay {a} personas. En la primera estación bajan {b} personas y suben {c} personas. En la "
                "segunda estación bajan {d} personas y suben {e} personas. ¿Cuántas personas hay ahora en el tren?"
            ),
            "Al bajar gente en la primera estación, quedan {eq} personas en el tren.",
            "Al subir gente, hay {eq} personas en el tren.",
            "Al bajar gente en la segunda estación, quedan {eq} personas en el tren.",
            "Al subir gente, ahora hay {eq} personas en el tren.",
        ),
        "wages": (
            (
                "{q} trabaja {a} horas al día durante {b} días y gana {c} euros por hora. De ese dinero gasta {d} "
                "euros en zapatos. Luego su abuela le da {e} euros. ¿Cuántos euros tiene {q} ahora?"
            ),
            "{q} trabaja {eq} horas.",
            "Gana {eq} euros.",
            "Después de comprar los zapatos, le quedan {eq} euros.",
            "Ahora tiene {eq} euros.",
        ),
        "school": (
            (
                "Una escuela tiene {a} clases. En cada clase hay {b} niñas y {c} niños. Hoy {d} alumnos están "
                "enfermos. Los demás forman {e} grupos del mismo tamaño. ¿Cuántos alumnos hay en cada grupo?"
            ),
            "En cada clase hay {eq} alumnos.",
            "La escuela tiene {eq} alumnos.",
            "Hoy hay {eq} alumnos en la escuela.",
            "En cada grupo hay {eq} alumnos.",
        ),
        "stamps": (
            (
                "{p} tiene {a} sellos. {q} tiene {b} veces más sellos que {p}. Entre los dos regalan {c} sellos y "
                "reparten el resto por igual en {d} álbumes. ¿Cuántos sellos hay en cada álbum?"
            ),
            "{q} tiene {eq} sellos.",
            "Entre los dos tienen {eq} sellos.",
            "Les quedan {eq} sellos.",
            "En cada álbum hay {eq} sellos.",
        ),
    },
)
