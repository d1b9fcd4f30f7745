"""Numbers with their nouns."""


def counted(count: int, noun: str) -> str:
    """A number and its noun, which agree: `1 row`, `1,000 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


FEW = 20  # documents, below which shares among them say nothing of how many more it takes


def more_of(missing: int, seen: int, noun: str) -> str:
    """How many more of something are needed, as far as those seen can tell: `about 30 more audits`.

    With fewer than 20 seen it is `at least`: then the number is what a proof takes if nothing goes wrong.
    """
    return f"{'about' if seen >= FEW else 'at least'} {counted(missing, f'more {noun}')}"
