"""Card networks by ISO 8583:1987 over TCP: the dialect, one wire, and the channel on top of it."""
