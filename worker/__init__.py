"""The pipeline: documents from the queue, classified, into Postgres."""
