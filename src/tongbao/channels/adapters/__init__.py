"""One file (or folder) for each protocol; each class fulfils ``channels.ports.Channel``."""
