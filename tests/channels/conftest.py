"""What all tests of channels share: private keys are read once."""

from collections.abc import Iterator
from functools import cache

import pytest

from tongbao.channels.adapters import signatures


@pytest.fixture(scope="session", autouse=True)
def keys_read_once() -> Iterator[None]:
    """Read each private key once a run: each reading proves for a tenth of a second that its factors are prime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signatures, "load_private_key", cache(signatures.load_private_key))
        yield
