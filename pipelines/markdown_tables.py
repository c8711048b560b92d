"""Tables in pages that a person reads."""

from collections.abc import Sequence


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; the first row is its head."""
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    head, *body = [f"| {' | '.join(row)} |" for row in cells]
    rule = f"|{' --- |' * len(rows[0])}"
    return "\n".join([head, rule, *body])
