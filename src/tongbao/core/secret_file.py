"""A secret in a file of its own: made at first use, readable by its owner only."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from tongbao.core.errors import NotPermitted


def open_secret(path: Path, size: int) -> bytes:
    """Return the ``size`` bytes in ``path``; several processes may ask at once, also for the first time.

    Raises NotPermitted ``key_file_exposed`` where others may read the file, or where it holds no secret of this size.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}.new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(size))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Whoever links first has made the secret; the others read that one.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    secret = path.read_bytes()
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) or len(secret) != size:
        raise NotPermitted("key_file_exposed", f"{path} must hold {size} bytes and be mode 600")
    return secret
