"""The cleaning that a training is asked for; it goes into the checkpoint."""

from collections.abc import Sequence

from classifier.cleaning import Cleaning


def chosen_cleaning(strip_html: bool, masks: Sequence[str], remove_stop_words: bool) -> Cleaning:
    """A cleaning of the chosen options; ``masks`` are of urls, emails, users."""
    words: tuple[str, ...] = ()
    if remove_stop_words:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        words = tuple(sorted(ENGLISH_STOP_WORDS))
    return Cleaning(
        strip_html=strip_html, mask_urls="urls" in masks, mask_emails="emails" in masks,
        mask_users="users" in masks, stop_words=words,
    )  # fmt: skip
