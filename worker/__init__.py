"""The pipeline: it reads documents from the queue, classifies them, and stores them in Postgres."""

from sortline.small_matrices import use_one_thread

use_one_thread()
