"""The HTTP API for programs: documents, reviews, model versions, trainings, health and metrics."""
