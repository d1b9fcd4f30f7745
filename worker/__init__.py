"""The pipeline: it reads documents from the queue, classifies them, and stores them in Postgres."""
