"""What the engine alone can do: `python -m benchmarks.ceiling CHECKPOINT COUNT` prints a JSON line.

The documents are cleaned, tokenised, sorted by length over all of them and laid out in token-budget batches
before the clock starts; then forward passes only, on as many threads as the engine gains from.
"""

import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.texts import documents
from classifier.classifier import load_classifier
from sortline.settings import get_settings


def main(checkpoint: str, count: int) -> None:
    """Measure and print."""
    classifier = load_classifier(checkpoint, None, get_settings())
    classifier.warm()
    prepared = classifier.prepare([document.text for document in documents(count, "ceiling")])
    work = classifier.batches(prepared)
    began = time.perf_counter()
    with ThreadPoolExecutor(classifier.parallel) as pool:
        list(pool.map(classifier.forward, work))
    seconds = time.perf_counter() - began
    single = []
    for item in prepared[:: max(1, len(prepared) // 200)]:
        batch = classifier.batches([item])[0]
        began = time.perf_counter()
        classifier.forward(batch)
        single.append((time.perf_counter() - began) * 1000)
    forward_ms = statistics.median(single)
    print(json.dumps({"docs_per_s": count / seconds, "forward_ms": forward_ms, "engine": classifier.engine.name}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
