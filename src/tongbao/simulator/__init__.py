"""A seeded world that uses Tongbao like anyone: today a first street of shops, later a city.

Same seed, same street. It decides nothing for the system and is never imported by a room below.
"""
