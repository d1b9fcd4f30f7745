"""Labelled examples for tests: as many as wanted, none like another."""

import random
from string import ascii_lowercase

# Three labels that share no content words: even a tiny encoder tells them apart.
_SENTENCES = {
    "card": "where is my card? please help, the card has not arrived",
    "cash": "the cash machine ate it! i cash a cash cash machine",
    "transfer": "is my transfer an arrived transfer, or has it not arrived? transfer",
}


def labelled_lines(count: int) -> list[str]:
    """CSV lines of ``count`` examples, the labels in turn, no two of them near-duplicates."""
    draw = random.Random(count)
    lines = ["text,label"]
    for i in range(count):
        label = list(_SENTENCES)[i % 3]
        noise = " ".join("".join(draw.choices(ascii_lowercase, k=7)) for _ in range(4))
        lines.append(f'"{_SENTENCES[label]} {noise}",{label}')
    return lines
