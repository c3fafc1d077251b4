"""Programs of other people that tests talk to, each in an environment of its own under ``.peers``."""
