"""The desk, where reviewers decide documents."""
