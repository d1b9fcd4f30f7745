"""Documents that stand on several rows of an export, one for each answer: their labels must be the same."""

from sys import intern

from sortline.files.labelling_tools.answers import Labelled, LeftOut, disagreeing


class Agreement:
    """Goes over a file twice: `add` takes what each record came to, then `check` says what each one is in the end.

    Rejected and ignored answers are left out before, so that an accepted one wins over them. Some hundred bytes are
    held for each document that has a label.
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
        """Whether there is a document whose rows have different labels."""
        return bool(self._several)

    def check(self, read: Labelled | LeftOut) -> Labelled | LeftOut:
        """The same result, or why its document is left out, in the second round."""
        if isinstance(read, LeftOut) or read.label is None or _key(read) not in self._several:
            return read
        return disagreeing(self._several[_key(read)])


def _key(read: Labelled) -> int:
    return hash((read.id, read.text))
