"""How processes of one house and its scoring process meet: paths, headers and bounds of what goes between them."""

JUDGEMENTS_PATH = "/judgements"
HEALTH_PATH = "/healthz"
MEDIA_TYPE = "application/msgpack"
SEAL_HEADER = "tongbao-seal"
QUESTION_BYTES_MAX = 16_384
"""A question has a few hundred; keys of entities are at most 80 characters each."""
