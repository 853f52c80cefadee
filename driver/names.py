"""How the report writes languages and numbers. Owns nothing else."""

from languages.facts import LANGUAGES

NOT_MEASURED = "\N{EN DASH}"


def language_name(code: str) -> str:
    """In English; a code that the project does not know stays a code."""
    return LANGUAGES[code].name if code in LANGUAGES else code


def percent(share: float | None) -> str:
    return NOT_MEASURED if share is None else f"{100 * share:.1f}%"


def strict_percent(share: float | None) -> str:
    """Without the sign; 100 only where it is all of them, 99.9 where one of ten thousand is missing."""
    if share is None:
        return NOT_MEASURED
    return "100" if share == 1 else f"{min(99.9, 100 * share):.1f}"


def points(share: float) -> str:
    """A share or a difference of shares, in percentage points."""
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def signed_points(difference: float) -> str:
    return f"+{points(difference)}" if difference >= 0 else points(difference)
