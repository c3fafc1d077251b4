"""A seeded world that uses Tongbao like anyone: a street of shops, a city, the channels and banks outside.

Same seed, same world. It decides nothing for the system and is never imported by a room below.
"""
