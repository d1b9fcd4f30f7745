"""Figures of automatic acceptance: thresholds, what they promise, and what they accept."""

from classifier.figures.record import Interval, Part, Record


class LabelThreshold(Record):
    """The calibration documents that a label's own threshold accepts, and the errors among them."""

    threshold: float
    accepted: int
    errors: int


class Unproved(Part):
    """If nothing is proved: whether the fallback threshold is used anyway, and why.

    ``documents``: validation and calibration ones. ``missing``: about how many more could allow it; at least so many
    if there are fewer than 20.
    ``risk``: the share of wrong ones that it must be shown not to exceed.
    """

    used: bool = False
    threshold: float | None = None
    documents: int | None = None
    risk: float | None = None
    accepted: int | None = None
    errors: int | None = None
    missing: int | None = None
    sentence: str = ""


class Guarantee(Part):
    """The promise about accepted documents, and what the calibration documents showed.

    ``documents`` is the number of calibration documents; ``accepted``, ``errors`` and ``coverage`` (share accepted)
    are what the thresholds, proved or not, give on them. ``provable``: how many of them the proved thresholds would
    accept, if those that hold are stricter, because foreign documents of kinds that nobody has decided may come.
    ``missing``: further reviewed documents that a proof may need; None: it is proved, or the errors seen leave no hope.
    ``labels``: by label id as text. ``traffic``: whether audits alone prove it ("audits") or imports too ("mixed"),
    which ``about`` says in words.
    """

    risk_target: float | None = None
    confidence: float | None = None
    proved: bool = False
    method: str | None = None
    documents: int | None = None
    accepted: int | None = None
    errors: int | None = None
    coverage: float | None = None
    missing: int | None = None
    provable: int | None = None
    labels: dict[str, LabelThreshold] = {}
    unproved: Unproved = Unproved()
    sentence: str = ""
    traffic: str | None = None
    about: str = ""
    used: bool | None = None


class Detection(Part):
    """Foreign documents on test: how many of them are accepted, and how well known ones are told from them.

    ``share`` of the ``foreign`` ones is ``accepted``, with its 95 % interval; ``auroc``: the chance that one of the
    ``known`` documents has a higher score than a foreign one, None without known ones; ``auroc_confidence`` and
    ``auroc_fit``: the same of the confidence and of the fit alone, where the fit is known. In older versions the score
    was the confidence.
    """

    foreign: int = 0
    known: int = 0
    accepted: int = 0
    share: float | None = None
    interval: Interval | None = None
    auroc: float | None = None
    auroc_confidence: float | None = None
    auroc_fit: float | None = None


class Offer(Record):
    """Thresholds for one risk target, what they promise, and the share of test documents that they accept.

    ``threshold`` 2 accepts nothing. ``risk``: the share of wrong ones among those accepted, None if none is;
    ``detection``: of foreign test documents, if there are any.
    """

    threshold: float
    label_thresholds: dict[int, float] = {}
    guarantee: Guarantee
    coverage: float | None = None
    risk: float | None = None
    detection: Detection = Detection()
