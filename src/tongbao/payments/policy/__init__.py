"""What payments decides: facts in, the next documents, transfers and events out."""
