"""What is learned from the stream: features, scores, calibration, learned rates, alarms of drift."""
