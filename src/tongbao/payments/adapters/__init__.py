"""What payments brings along for its own ports."""
