"""The use cases of the parties."""
