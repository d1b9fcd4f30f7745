"""The pipeline: it reads documents from the queue, classifies them, and stores them in Postgres."""

import os

# numpy multiplies small matrices here, beside an engine that has all cores: with more threads a product costs up to
# seven times the processor time. It must be set before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
