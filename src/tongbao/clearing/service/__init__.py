"""Use cases of clearing: each opens its transaction and is the only writer of what it keeps."""
