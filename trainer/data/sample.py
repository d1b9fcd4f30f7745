"""A sample of very many texts, evenly spread, without knowing how many will come."""

from trainer.data.base_texts import MOST_TEXTS


class Sample:
    """Takes texts one by one and keeps at most 4,000 of them: all, then every second, every fourth, ..."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._step = self._count = 0

    def add(self, text: str) -> None:
        """The next text."""
        if self._count % (1 << self._step) == 0:
            self.texts.append(text)
            if len(self.texts) > 2 * MOST_TEXTS:
                self.texts, self._step = self.texts[::2], self._step + 1
        self._count += 1
