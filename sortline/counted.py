"""Numbers with their nouns."""


def counted(count: int, noun: str) -> str:
    """A number and its noun, which agree: `1 row`, `1,000 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
