"""What every room stands on: money, ids, time, errors, facts, the database and its lanes.

No word of the payments domain is spoken here, and nothing here imports another room.
"""
