"""What a model must beat to be worth its cost: the most frequent label, and TF-IDF with logistic regression."""

from collections import Counter
from collections.abc import Sequence

from db.queries.labelled import Labelled

_MOST_DOCUMENTS = 20_000


def baselines(train: Sequence[Labelled], test: Sequence[Labelled]) -> dict[str, float]:
    """Accuracy on ``test`` of two simple classifiers fitted on ``train``: `majority` and `tfidf`.

    TF-IDF of words and pairs of words with logistic regression, by scikit-learn, on at most 20,000 documents.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if not test:
        return {}
    used = train[:: max(1, len(train) // _MOST_DOCUMENTS)]
    model = make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, max_features=100_000, tokenizer=str.split, token_pattern=None
        ),
        LogisticRegression(C=10, max_iter=200),
    )
    model.fit([document.text for document in used], [document.label_id for document in used])
    predicted = model.predict([document.text for document in test])
    majority = most_frequent(train)
    return {
        "majority": sum(document.label_id == majority for document in test) / len(test),
        "tfidf": float((predicted == [document.label_id for document in test]).mean()),
    }


def most_frequent(documents: Sequence[Labelled]) -> int:
    """Id of the most frequent label."""
    return Counter(document.label_id for document in documents).most_common(1)[0][0]
