"""Cells of an exported CSV that a spreadsheet would take for formulas: protected when written, read as they were."""

# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), in full width too.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARK = "'"


def protected(cell: str) -> str:
    """The cell with an apostrophe before it where it begins like a formula, apostrophes before that or not."""
    return _MARK + cell if cell.lstrip(_MARK).startswith(FORMULA_STARTS) else cell


def unprotected(cell: object) -> object:
    """What `protected` was given; other cells, and what is no text, stay as they are."""
    if isinstance(cell, str) and cell.startswith(_MARK) and cell.lstrip(_MARK).startswith(FORMULA_STARTS):
        return cell[1:]
    return cell
