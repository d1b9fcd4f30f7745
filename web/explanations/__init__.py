"""Pages that explain why a document got its label."""
