"""Pages of documents that are alike."""
