"""Text to probabilities: cleaning, batching, engines, calibration, decision, checkpoint."""
