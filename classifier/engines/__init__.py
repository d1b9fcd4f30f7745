"""What runs a checkpoint: torch and OpenVINO behind one protocol."""
