"""Cells of an exported CSV that a spreadsheet would take for formulas: protected on export, restored on import."""

# What a spreadsheet takes for the start of a formula (OWASP, "CSV Injection"), also in full width.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARK = "'"


def protected(cell: str) -> str:
    """The cell, with an apostrophe added if it begins like a formula, perhaps after other apostrophes."""
    return _MARK + cell if cell.lstrip(_MARK).startswith(FORMULA_STARTS) else cell


def unprotected(cell: object) -> object:
    """The cell that was given to `protected`; other cells, and values that are not text, stay unchanged."""
    if isinstance(cell, str) and cell.startswith(_MARK) and cell.lstrip(_MARK).startswith(FORMULA_STARTS):
        return cell[1:]
    return cell
