"""What people read about a training: its report and its model card."""
