"""What happens in the background: events and webhooks out, retention, erasure, backup, restore, and beat's schedule."""
