"""What payments keeps: one frozen document for each thing, its states, and the changes that are made to it."""
