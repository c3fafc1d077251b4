"""The city: seeded people with habits who buy from shops with opening hours, and a few who steal.

Made in two halves. The plan (``planning``) is a pure function of the seed: who goes where, wants to pay what, how, and
what comes afterwards. The driver (``driving``) acts a plan out over the public API, as anybody's program would, and
writes down what it was answered. Nothing here reaches into the house.
"""
