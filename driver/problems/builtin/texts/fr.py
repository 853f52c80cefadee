"""The built-in problems in French: words only."""

from driver.problems.builtin.texts.wording import LanguageText

TEXT = LanguageText(
    language="fr",
    question_mark=" ?",
    girls=("Maria", "Clara", "Léna", "Sofia", "Nina", "Julia", "Rosa", "Véra"),
    boys=("David", "Léo", "Martin", "Tom", "Paul", "Daniel", "Robert", "Victor"),
    sentences={
        # One step.
        "gift": (
            "{p} a {a} pommes. {q} lui donne {b} pommes de plus. Combien de pommes {p} a-t-elle maintenant ?",
            "{p} a maintenant {eq} pommes.",
        ),
        "bus": (
            (
                "Il y a {a} passagers dans un bus. À l'arrêt suivant, {b} autres passagers montent. Combien de "
                "passagers y a-t-il maintenant dans le bus ?"
            ),
            "Il y a maintenant {eq} passagers dans le bus.",
        ),
        "plate": (
            (
                "Il y a {a} biscuits sur une assiette. {q} mange {b} biscuits. Combien de biscuits reste-t-il sur "
                "l'assiette ?"
            ),
            "Il reste {eq} biscuits sur l'assiette.",
        ),
        "stickers": (
            "{p} a {a} autocollants. {q} a {b} autocollants. Combien d'autocollants {p} a-t-elle de plus que {q} ?",
            "{p} a {eq} autocollants de plus que {q}.",
        ),
        "oranges": (
            "{p} a {a} sacs. Il y a {b} oranges dans chaque sac. Combien d'oranges {p} a-t-elle en tout ?",
            "{p} a {eq} oranges en tout.",
        ),
        "candies": (
            "{q} partage {a} bonbons en parts égales entre {b} enfants. Combien de bonbons chaque enfant reçoit-il ?",
            "Chaque enfant reçoit {eq} bonbons.",
        ),
        # Two steps.
        "pears": (
            (
                "{q} cueille {a} poires le matin et {b} poires l'après-midi. Il donne {c} poires à ses voisins. "
                "Combien de poires reste-t-il à {q} ?"
            ),
            "{q} cueille {eq} poires en tout.",
            "Il lui reste {eq} poires.",
        ),
        "pencils": (
            (
                "{p} achète {a} paquets de crayons. Il y a {b} crayons dans chaque paquet. Elle donne {c} crayons à "
                "{q}. Combien de crayons reste-t-il à {p} ?"
            ),
            "{p} achète {eq} crayons.",
            "Il lui reste {eq} crayons.",
        ),
        "shelves": (
            (
                "Dans une pièce, il y a {a} étagères avec {b} livres sur chaque étagère. Il y a {c} autres livres sur "
                "la table. Combien de livres y a-t-il en tout dans la pièce ?"
            ),
            "Il y a {eq} livres sur les étagères.",
            "Il y a {eq} livres en tout dans la pièce.",
        ),
        "vases": (
            (
                "{p} a {a} roses et {b} tulipes. Elle met le même nombre de fleurs dans chacun des {c} vases. Combien "
                "de fleurs y a-t-il dans chaque vase ?"
            ),
            "{p} a {eq} fleurs.",
            "Il y a {eq} fleurs dans chaque vase.",
        ),
        "eggs": (
            (
                "{q} a {a} œufs. Il utilise {b} œufs pour un gâteau. Il répartit le reste en parts égales dans {c} "
                "boîtes. Combien d'œufs y a-t-il dans chaque boîte ?"
            ),
            "Après le gâteau, il reste {eq} œufs à {q}.",
            "Il y a {eq} œufs dans chaque boîte.",
        ),
        "coins": (
            "{p} a {a} pièces de monnaie. {q} a {b} fois plus de pièces que {p}. Combien de pièces ont-ils ensemble ?",
            "{q} a {eq} pièces.",
            "Ensemble, ils ont {eq} pièces.",
        ),
        # Three steps.
        "tickets": (
            (
                "Un groupe de {a} adultes et {c} enfants visite un zoo. Un billet coûte {b} euros pour un adulte et "
                "{d} euros pour un enfant. Combien d'euros coûtent tous les billets ensemble ?"
            ),
            "Les billets des adultes coûtent {eq} euros.",
            "Les billets des enfants coûtent {eq} euros.",
            "Tous les billets ensemble coûtent {eq} euros.",
        ),
        "savings": (
            (
                "{q} économise {a} euros par semaine pendant {b} semaines. Ensuite, il achète un livre à {c} euros et "
                "un ballon à {d} euros. Combien d'euros reste-t-il à {q} ?"
            ),
            "{q} économise {eq} euros.",
            "Après l'achat du livre, il lui reste {eq} euros.",
            "Après l'achat du ballon, il lui reste {eq} euros.",
        ),
        "cards": (
            (
                "{p} a {a} cartes. {q} a {b} cartes de plus que {p}. Ils réunissent toutes leurs cartes et font {c} "
                "tas égaux. Combien de cartes y a-t-il dans chaque tas ?"
            ),
            "{q} a {eq} cartes.",
            "Ensemble, ils ont {eq} cartes.",
            "Il y a {eq} cartes dans chaque tas.",
        ),
        "rolls": (
            (
                "{q} cuit {a} plaques de petits pains, avec {b} petits pains sur chaque plaque. Il vend {c} petits "
                "pains et répartit le reste en parts égales dans {d} sachets. Combien de petits pains y a-t-il dans "
                "chaque sachet ?"
            ),
            "{q} cuit {eq} petits pains.",
            "Il lui reste {eq} petits pains.",
            "Il y a {eq} petits pains dans chaque sachet.",
        ),
        "book": (
            (
                "Un livre a {a} pages. {p} lit {b} pages par jour pendant {c} jours. Elle veut lire le reste en {d} "
                "jours, avec le même nombre de pages chaque jour. Combien de pages doit-elle alors lire par jour ?"
            ),
            "{p} a déjà lu {eq} pages.",
            "Il reste {eq} pages.",
            "Elle doit lire {eq} pages par jour.",
        ),
        "marbles": (
            (
                "{p} a {a} billes rouges et {b} billes bleues. {q} a {c} fois plus de billes que {p}. Ensuite, {q} "
                "perd {d} billes. Combien de billes {q} a-t-il maintenant ?"
            ),
            "{p} a {eq} billes.",
            "Au début, {q} a {eq} billes.",
            "Maintenant, {q} a {eq} billes.",
        ),
        # Four steps.
        "shop": (
            (
                "{p} a {e} euros. Elle achète {a} cahiers à {b} euros chacun et {c} stylos à {d} euros chacun. "
                "Combien d'euros reste-t-il à {p} ?"
            ),
            "Les cahiers coûtent {eq} euros.",
            "Les stylos coûtent {eq} euros.",
            "Ensemble, ils coûtent {eq} euros.",
            "Il reste {eq} euros à {p}.",
        ),
        "baskets": (
            (
                "{p} remplit {a} paniers de {b} prunes chacun. {q} apporte {c} prunes de plus. Ils mangent {d} prunes "
                "et répartissent le reste en parts égales dans {e} bols. Combien de prunes y a-t-il dans chaque bol ?"
            ),
            "Il y a {eq} prunes dans les paniers.",
            "Avec les prunes de {q}, il y a {eq} prunes.",
            "Après avoir mangé, ils ont encore {eq} prunes.",
            "Il y a {eq} prunes dans chaque bol.",
        ),
        "stops": (
            (
                "Il y a {a} personnes dans un train. À la première gare, {b} personnes descendent et {c} personnes "
                "montent. À la deuxième gare, {d} personnes descendent et {e} personnes montent. Combien de personnes "
                "y a-t-il maintenant dans le train ?"
            ),
            "Après les descentes à la première gare, il y a {eq} personnes dans le train.",
            "Après les montées, il y a {eq} personnes dans le train.",
            "Après les descentes à la deuxième gare, il y a {eq} personnes dans le train.",
            "Après les montées, il y a maintenant {eq} personnes dans le train.",
        ),
        "wages": (
            (
                "{q} travaille {a} heures par jour pendant {b} jours et gagne {c} euros par heure. Avec cet argent, "
                "il achète des chaussures à {d} euros. Ensuite, sa grand-mère lui donne {e} euros. Combien d'euros "
                "{q} a-t-il maintenant ?"
            ),
            "{q} travaille {eq} heures.",
            "Il gagne {eq} euros.",
            "Après l'achat des chaussures, il lui reste {eq} euros.",
            "Maintenant, il a {eq} euros.",
        ),
        "school": (
            (
                "Une école a {a} classes. Dans chaque classe, il y a {b} filles et {c} garçons. Aujourd'hui, {d} "
                "enfants sont malades. Les autres forment {e} groupes de même taille. Combien d'enfants y a-t-il dans "
                "chaque groupe ?"
            ),
            "Dans chaque classe, il y a {eq} enfants.",
            "L'école a {eq} enfants.",
            "Aujourd'hui, {eq} enfants sont à l'école.",
            "Il y a {eq} enfants dans chaque groupe.",
        ),
        "stamps": (
            (
                "{p} a {a} timbres. {q} a {b} fois plus de timbres que {p}. Ensemble, ils donnent {c} timbres à leurs "
                "amis et répartissent le reste en parts égales dans {d} albums. Combien de timbres y a-t-il dans "
                "chaque album ?"
            ),
            "{q} a {eq} timbres.",
            "Ensemble, ils ont {eq} timbres.",
            "Il leur reste {eq} timbres.",
            "Il y a {eq} timbres dans chaque album.",
        ),
    },
)
