"""Write languages and numbers as people read them: in tables, in report.html and in the model card."""

from driver.language_names import language_title

NOT_MEASURED = "\N{EN DASH}"


def language_name(code: str) -> str:
    """Return the English name of a language; a code that the project does not know stays a code."""
    return language_title(code)


def percent(share: float | None) -> str:
    """Return a share of 1 in percent: "12.5%"."""
    return NOT_MEASURED if share is None else f"{100 * share:.1f}%"


def strict_percent(share: float | None) -> str:
    """Return a share of 1 in percent, without the sign; "100" only for exactly 1: one missing of 10,000 is "99.9"."""
    if share is None:
        return NOT_MEASURED
    return "100" if share == 1 else f"{min(99.9, 100 * share):.1f}"


def points(share: float | None) -> str:
    """Return a share, or a difference of shares, in percentage points: "−12.5"."""
    return NOT_MEASURED if share is None else f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def signed_points(difference: float | None) -> str:
    """Return a difference of shares in percentage points, always with its sign: "+12.5"."""
    return f"+{points(difference)}" if difference is not None and difference >= 0 else points(difference)


def fixed(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of decimal places."""
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


def on_one_line(text: str) -> str:
    """Return a text from elsewhere with line breaks, control characters and halves of characters as escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
