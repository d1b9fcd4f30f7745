"""Work in the background: sending events and webhooks, retention, erasure, backup, restore, and beat's schedule."""
