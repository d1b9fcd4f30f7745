"""What is kept, for how long, and how: erasure, retention, backup, restore."""
