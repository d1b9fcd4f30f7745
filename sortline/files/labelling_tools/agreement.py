"""Documents on several rows of an export, one row per answer: their labels must agree."""

from sys import intern

from sortline.files.labelling_tools.answers import Labelled, LeftOut, disagreeing


class Agreement:
    """Reads a file twice: `add` takes what each record yields, then `check` returns the final result of each.

    Rejected and ignored answers are left out before, so that an accepted one wins over them. It holds some hundred
    bytes for each document with a label.
    """

    def __init__(self) -> None:
        self._labels: dict[int, str] = {}
        self._several: dict[int, list[str]] = {}

    def add(self, read: Labelled | LeftOut) -> None:
        """Take one record's result, in the first round."""
        if isinstance(read, LeftOut) or read.label is None:
            return
        key = _key(read)
        first = self._labels.setdefault(key, intern(read.label))
        if first != read.label:
            names = self._several.setdefault(key, [first])
            if read.label not in names:
                names.append(read.label)

    @property
    def disagrees(self) -> bool:
        """Whether the rows of some document have different labels."""
        return bool(self._several)

    def check(self, read: Labelled | LeftOut) -> Labelled | LeftOut:
        """The same result or, in the second round, why its document is left out."""
        if isinstance(read, LeftOut) or read.label is None or _key(read) not in self._several:
            return read
        return disagreeing(self._several[_key(read)])


def _key(read: Labelled) -> int:
    return hash((read.id, read.text))
