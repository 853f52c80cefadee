"""LaTeX as far as a language gate needs it: which commands are formula and which only look like one.

Owns the list of commands that are taken out. Any other word behind a backslash stays a word: otherwise a text in
another language would only have to put one before each of its own. Knows characters only.
"""

import re

_COMMANDS = """
    Alpha alpha angle approx arccos arcsin arctan ast backslash bar begin Beta beta bf Big big Bigg bigg Biggl biggl
    Biggr biggr Bigl bigl Bigr bigr bigskip binom blacksquare bmod boldsymbol bot boxed bullet cancel cap cbrt cdot
    cdots celsius cents cfrac checkmark chi circ colon color cong cos cot cup ddots deg degree Delta delta dfrac
    displaystyle div dot dots dotsc downarrow ell emptyset end ensuremath epsilon eqref equiv eta euro exists exp
    fbox footnotesize forall frac Gamma gamma gcd ge geq geqslant gg hat hbox hfill hline hphantom hskip hspace huge
    iff iint implies in inf infty int iota it item kappa label Lambda lambda land langle large lbrace lceil lcm
    ldots le left Leftarrow leftarrow Leftrightarrow leftrightarrow leq leqslant lfloor lg lim limits ll ln lnot log
    Longrightarrow longrightarrow lor lvert mapsto mathbb mathbf mathcal mathit mathord mathrm mathsf mathstrut
    mathtt max mbox medskip mid min mod mp mu multicolumn nabla ne neg neq newline noindent nolimits nonumber
    normalsize not notag notin nu Omega omega operatorname over overbrace overline overset par parallel partial per
    percent perp phantom Phi phi Pi pi pm pmod pounds prime prod propto Psi psi qed qquad quad rangle rbrace rceil
    rfloor rho right Rightarrow rightarrow rightleftharpoons rm rule rvert scriptsize sec Sigma sigma sim simeq sin
    small smallskip sqrt square stackrel strut subset subseteq sum tag tan tau text textasciitilde textbf textcolor
    textdegree textdollar texteuro textit textnormal textrm textsf textstyle texttt textunderscore tfrac therefore
    Theta theta thinspace tilde times tiny to top triangle underbrace underline underset uparrow upsilon varepsilon
    varphi vartheta vdots vec vee vert vphantom vskip vspace wedge widehat Xi xi xrightarrow yen zeta
"""
# The names behind these are no words of the text. Nothing but a known name counts, for the same reason.
_ENVIRONMENT = re.compile(
    r"\\(?:begin|end)\{(?:align(?:ed|at)?|array|cases|center|enumerate|equation|gather(?:ed)?|itemize|[bpv]?matrix|"
    r"multline|split|tabular)\*?\}(?:\{[lcr| ]{1,20}\})?"
    r"|\\(?:text)?color\{(?:black|blue|gray|green|orange|purple|red)\}"
)
_KNOWN = frozenset(_COMMANDS.split())
_COMMAND = re.compile(r"\\([A-Za-z]+)")


def without_commands(text: str) -> str:
    """The text with a space in place of every known command; what stands in a command's braces stays."""
    if "\\" not in text:
        return text
    return _COMMAND.sub(_word_of, _ENVIRONMENT.sub(" ", text))


def _word_of(command: re.Match[str]) -> str:
    return " " if command[1] in _KNOWN else f" {command[1]} "
