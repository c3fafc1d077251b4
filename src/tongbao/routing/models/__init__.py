"""What routing learns: acceptance, technical health, and a prior from context."""
