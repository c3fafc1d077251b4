"""Use cases of rates: files taken in, rates told, amounts converted, the age of what is known."""
