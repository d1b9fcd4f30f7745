"""Pages on the line itself: its state, incidents, dead letters, webhooks and the audit log."""
