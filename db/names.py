"""Names that people give to people and to webhooks."""

from sortline.errors import InvalidInputError

_MOST = 100


def check_name(name: str) -> None:
    """Check that a name can be read and told from others.

    Raises:
        InvalidInputError: it is empty, too long, or has invisible characters.
    """
    if not name.strip() or name != name.strip() or len(name) > _MOST or not name.isprintable():
        raise InvalidInputError(f"a name has 1 to {_MOST} visible characters, and no space at its ends")
