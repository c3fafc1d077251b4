"""What risk control brings along for its own ports: carriers of codes."""
