"""What a model must beat to be worth its cost: the most frequent label, and TF-IDF with logistic regression."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db.queries.labelled import Labelled
from trainer.data import bounds
from trainer.data.training_data import true_label_ids

LabelIds = NDArray[np.int64]


def baseline_answers(train: Sequence[Labelled], test: Sequence[Labelled]) -> dict[str, LabelIds]:
    """Label ids (n,) that two simple classifiers fitted on ``train`` give to ``test``: `majority` and `tfidf`.

    TF-IDF of words and pairs of words with logistic regression, by scikit-learn, on at most 20,000 documents. SAGA
    (Defazio, Bach and Lacoste-Julien, 2014) takes a tenth of the time of L-BFGS, because it touches only the words that
    a document has; its answers are as often right.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if not test:
        return {}
    used = train[:: -(-len(train) // bounds.BASELINE)]
    model = make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, max_features=100_000, tokenizer=str.split, token_pattern=None
        ),
        LogisticRegression(C=10, solver="saga", tol=1e-3, max_iter=200, random_state=0),
    )
    model.fit([document.text for document in used], true_label_ids(used))
    predicted = model.predict([document.text for document in test])
    return {"majority": majority_answers(train, test), "tfidf": np.asarray(predicted, np.int64)}


def majority_answers(train: Sequence[Labelled], test: Sequence[Labelled]) -> LabelIds:
    """The label id that most of ``train`` has, for each document of ``test``, (n,)."""
    majority = Counter(true_label_ids(train).tolist()).most_common(1)[0][0]
    return np.full(len(test), majority, np.int64)
