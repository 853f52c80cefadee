"""Detect words in disguise: spelled out letter by letter, under marks, in look-alike letters or as LaTeX commands.

Strange letters are also folded to plain ones, so that the other checks of a language gate see the words that were
meant. Names in a text may have strange letters; each name counts once. Text must be as `normal` returns it.
"""

import re
import unicodedata
from functools import cache

from languages.language import Language, Script
from rewards.texts.scripts import letter_range

MAX_STRANGE_LETTERS = 4
"""Most letters outside the language's alphabet, and marks on letters, in a text's words, each word counted once. None
of 7,200 built-in solutions, MGSM's exemplars and its questions has more."""
MAX_SINGLES = 5
"""Most single Latin letters in a row. French has four ("n'y a-t-il"). In the order of the alphabet they are labels."""
MIN_GREEK = 3
"""Least number of Greek letters in a row that are a word and no formula."""
MIN_UNKNOWN_COMMANDS, UNKNOWN_SHARE = 3, 0.5
"""Least number of different words written as commands that LaTeX lacks, and their least share of a text's words, that
are a disguise."""
MAX_MIXED = 4
"""Most words that mix Greek letters or digits into Latin ones."""

_MARKS = r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_SINGLES = re.compile(rf"(?<![^\W\d_])[A-Za-z](?:(?:[^\w+=<>≤≥≈×÷/^]|_){{1,4}}[A-Za-z](?![^\W\d_])){{{MAX_SINGLES},}}")
_LETTER = re.compile("[A-Za-z]")
# Letters that Unicode does not decompose into an ASCII letter and a mark.
_LOOK_ALIKES = {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "ð": "d", "þ": "th", "ħ": "h"}
_GREEK = "\u0370-\u03ff\u1f00-\u1fff"
_GREEK_WORD = re.compile(f"[{_GREEK}]{{{MIN_GREEK}}}")
_MIXED = re.compile(
    rf"[A-Za-z][{_GREEK}]{{1,2}}[A-Za-z]|[A-Za-z]{{2,20}}[{_GREEK}]|[{_GREEK}][A-Za-z]{{2,20}}|[A-Za-z]\d{{1,3}}[A-Za-z]"
)
# White letters on black and the letters of flags, which NFKC leaves as they are.
_EMOJI_LETTER = re.compile("[\U0001f150-\U0001f169\U0001f170-\U0001f189\U0001f1e6-\U0001f1ff]")
_EMOJI_STARTS = (0x1F150, 0x1F170, 0x1F1E6)

# LaTeX commands that are formula. Any other word after a backslash stays a word: otherwise a text in another language
# would only have to put a backslash before each of its words.
_COMMANDS = """
    aleph Alpha alpha amalg angle approx arccos arcsin arctan arg arraystretch ast asymp atop backslash bar Bbb
    because begin Beta beta beth bf Big big bigcap bigcirc bigcup Bigg bigg Biggl biggl Biggr biggr Bigl bigl Bigr
    bigr bigskip bigstar bigtriangleup binom blacksquare blacktriangle blacktriangledown bmod bold boldsymbol bot
    bottomrule boxed boxplus boxtimes brace brack bullet cal cancel cap cbrt cdot cdotp cdots celsius centering
    cents cfrac checkmark chi choose circ cline clubsuit colon color complement cong coprod cos cosh cot coth csc
    cup curvearrowright dagger dashv dbinom ddagger ddots deg degree Delta delta dfrac diamond diamondsuit digamma
    dim displaystyle div dot doteq dots dotsb dotsc dotsi dotsm downarrow ell emptyset end ensuremath epsilon eqref
    equiv eta euro exists exp fbox footnotesize forall frac frak Gamma gamma gcd ge genfrac geq geqq geqslant gg ggg
    gneq gtrsim hat hbar hbox hdots hdotsfor heartsuit hfil hfill hline hom hookrightarrow hphantom href hskip
    hslash hspace huge iff iiint iint Im imath implied impliedby implies in inf infty injlim int intercal iota it
    item jmath kappa ker label Lambda lambda land langle large lbrace lbrack lceil lcm ldotp ldots le left Leftarrow
    leftarrow Leftrightarrow leftrightarrow leq leqq leqslant lesssim lfloor lg lim liminf limits limsup linebreak
    ll llap lll ln lneq lnot log Longleftarrow longleftarrow Longleftrightarrow longleftrightarrow Longrightarrow
    longrightarrow lor lozenge lVert lvert mapsto mathbb mathbf mathcal mathclap mathfrak mathit mathllap mathnormal
    mathop mathord mathrlap mathrm mathscr mathsf mathstrut mathtt max mbox medskip medspace mid midrule min mod
    models mp mu multicolumn nabla ncong ne nearrow neg negthinspace neq newline newpage ngeq ngtr ni nleq nless
    nmid noindent nolimits nonumber normalsize not notag notin nsubseteq nu nwarrow odot oint Omega omega
    operatorname operatornamewithlimits oplus otimes over overbrace overleftarrow overleftrightarrow overline
    overrightarrow overset pagebreak par parallel partial per percent perp phantom Phi phi Pi pi pm pmod pounds Pr
    prec preceq prime prod projlim propto Psi psi qed qquad quad raisebox rangle rbrace rbrack rceil Re rfloor rho
    right Rightarrow rightarrow rightleftarrows rightleftharpoons rlap rm rule rVert rvert scr scriptsize searrow
    sec setminus sideset Sigma sigma sim simeq sin sinh small smallskip smash spadesuit sqcap sqcup sqrt square
    stackrel star strut subset subseteq substack succ succeq sum supset supseteq surd swarrow tag tan tanh tau
    tbinom text textasciicircum textasciitilde textbf textcolor textdegree textdollar texteuro textgreater textit
    textless textnormal textrm textsc textsf textsl textstyle texttt textunderscore tfrac therefore Theta theta
    thickspace thinspace tilde times tiny to top toprule triangle triangledown twoheadrightarrow ulcorner underbrace
    underline underset uparrow uplus Upsilon upsilon urcorner varepsilon varkappa varnothing varphi varrho varsigma
    vartheta vdash vdots vec vee Vert vert vfil vphantom vskip vspace wedge widehat widetilde wp wr Xi xi xleftarrow
    xrightarrow yen zeta
"""
# The names in these are no words of the text. Only known names count, for the same reason.
_ENVIRONMENT = re.compile(
    r"\\(?:begin|end)\{(?:align(?:ed|at)?|array|cases|center|enumerate|equation|gather(?:ed)?|itemize|[bpv]?matrix|"
    r"multline|split|tabular|smallmatrix|Vmatrix)\*?\}(?:\[[tbc]\])?(?:\{[lcr| ]{1,40}\})?"
    r"|\\multicolumn\{\d{1,2}\}\{[lcr| ]{1,10}\}"
    r"|\\(?:text)?color\{(?:black|blue|gray|green|orange|purple|red)\}"
)
_KNOWN = frozenset(_COMMANDS.split())
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_LATIN_WORD = re.compile("[A-Za-z]{2,}")


def is_disguised(text: str, language: Language) -> bool:
    """Return whether a text shows words in a way that hides their language. The time is linear in the text."""
    is_greek = "Greek" in language.scripts
    if (not is_greek and _GREEK_WORD.search(text)) or _is_spelled_out(text):
        return True
    if len(set(_MIXED.findall(text))) > MAX_MIXED:
        return True
    return num_strange_letters(text, language) > MAX_STRANGE_LETTERS


def is_in_commands(text: str) -> bool:
    """Return whether the words of a text are written as LaTeX commands."""
    unknown = {word for word in _COMMAND.findall(text) if word not in _KNOWN and len(word) > 1}
    if len(unknown) < MIN_UNKNOWN_COMMANDS:
        return False
    return len(unknown) >= UNKNOWN_SHARE * len(set(_LATIN_WORD.findall(_COMMAND.sub(_word_of, text))))


def normal(text: str) -> str:
    """Return the text in NFKC, with letters in emoji as letters.

    NFKC turns full-width, mathematical and circled letters into the letters that they look like.
    """
    return _EMOJI_LETTER.sub(_letter_of, unicodedata.normalize("NFKC", text))


def num_strange_letters(text: str, language: Language) -> int:
    """Count the Latin letters, and letters of the language's script, outside its alphabet, and marks on letters.

    Each distinct word counts once, whatever its case.
    """
    strange = _strange(language)
    if not strange.search(text):
        return 0
    return sum(len(strange.findall(word)) for word in set(_words(language.scripts).findall(text.lower())))


def in_plain_letters(text: str, language: Language) -> str:
    """Return the text without marks, and with each strange letter as the ASCII letter that it is made of, if any."""
    return _strange(language).sub(_plain_letter, text)


def without_commands(text: str) -> str:
    """Return the text with a space in place of every known LaTeX command; the content of its braces stays."""
    if "\\" not in text:
        return text
    return _COMMAND.sub(_word_of, _ENVIRONMENT.sub(" ", text))


def _word_of(command: re.Match[str]) -> str:
    return " " if command[1] in _KNOWN else f" {command[1]} "


def _letter_of(emoji: re.Match[str]) -> str:
    start = max(start for start in _EMOJI_STARTS if start <= ord(emoji[0]))
    return chr(ord("A") + ord(emoji[0]) - start)


def _is_spelled_out(text: str) -> bool:
    """Return whether more than MAX_SINGLES single letters stand in a row, not in the order of the alphabet."""
    for run in _SINGLES.finditer(text):
        letters = _LETTER.findall(run[0].lower())
        if letters != sorted(letters):
            return True
    return False


def _plain_letter(found: re.Match[str]) -> str:
    base = unicodedata.normalize("NFD", found[0])[0]
    if base.isascii():
        return base
    return "" if unicodedata.combining(base) else _LOOK_ALIKES.get(base, base)


@cache
def _strange(language: Language) -> re.Pattern[str]:
    """Return the pattern of one strange letter, or of marks after a letter; marks of the alphabet are not strange."""
    known = language.alphabet
    own = "" if known is None else letter_range(language.scripts)
    return re.compile(
        rf"(?![A-Za-z{known or ''}])[{letter_range(('Latin',))}{own}]"
        rf"|(?<=[^\W\d_])(?:{f'(?![{known}])' if known else ''}[{_MARKS}])+"
    )


@cache
def _words(scripts: tuple[Script, ...]) -> re.Pattern[str]:
    latin, own = letter_range(("Latin",)), letter_range(scripts)
    return re.compile(rf"(?:[{latin}][{_MARKS}]*)+|[{own}{_MARKS}]+")
