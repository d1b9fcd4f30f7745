"""Pages that say why a document got its label."""
