"""The key under which webhook secrets are sealed: a file of its own, made at first use, readable by its owner only."""

from pathlib import Path

from tongbao.core.secret_file import open_secret
from tongbao.payments.adapters.secret_box import KEY_BYTES, AesGcmBox
from tongbao.payments.ports import SecretBox


def open_box(path: Path) -> SecretBox:
    """Return the box over the key in ``path``; several processes may open it at once, also for the first time.

    Raises NotPermitted ``key_file_exposed`` where others may read the file, or where it holds no key.
    """
    return AesGcmBox((open_secret(path, KEY_BYTES),))
