"""Labelled examples for tests: as many as wanted, none like another."""

# Three labels that share no content words: even a tiny encoder tells them apart.
_SENTENCES = {
    "card": "where is my card number {}? please help, the card has not arrived",
    "cash": "the cash machine {} ate it! i cash a cash cash machine",
    "transfer": "is my transfer {} an arrived transfer, or has it not arrived? transfer",
}
_WORDS = [
    "apple",
    "brick",
    "cedar",
    "dune",
    "ember",
    "flint",
    "grove",
    "haven",
    "ivory",
    "jetty",
    "kelp",
    "larch",
    "mesa",
    "night",
    "ocean",
    "pearl",
]


def labelled_lines(count: int) -> list[str]:
    """CSV lines of ``count`` examples, the labels in turn, no two of them near-duplicates."""
    lines = ["text,label"]
    for i in range(count):
        label = list(_SENTENCES)[i % 3]
        first, second, third = (_WORDS[(i // 3 * step + step) % len(_WORDS)] for step in (1, 5, 11))
        text = f"{first} {second * 2} {i} {third * 2} " + _SENTENCES[label].format(f"{second} {i} {first * 3}")
        lines.append(f'"{text}",{label}')
    return lines
