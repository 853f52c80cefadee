"""Show an evaluation as a table for the terminal."""

from rich.table import Table

from driver.evaluation.measure import EvaluationResult, standard_error
from languages.facts import LANGUAGES


def as_table(result: EvaluationResult) -> Table:
    """Return one row for each language: accuracy with its standard error, language consistency, and both together."""
    table = Table("language", "items", "right", "in language", "both", "declared", "cut off", "tokens")
    for row in result.languages:
        error = standard_error(row.accuracy, row.num_items)
        table.add_row(
            LANGUAGES[row.language].name,
            str(row.num_items),
            f"{row.accuracy:.1%} ±{100 * error:.1f}",
            f"{row.language_consistency:.0%}",
            f"{row.accuracy_in_language:.1%}",
            f"{row.declared_rate:.0%}",
            f"{row.truncated_rate:.0%}",
            f"{row.mean_length:.0f}",
        )
    return table
