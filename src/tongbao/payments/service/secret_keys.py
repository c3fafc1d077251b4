"""The key under which webhook secrets are sealed: a file of its own, made at first use, readable by its owner only."""

import os
import secrets
import stat
from pathlib import Path

from tongbao.core.errors import NotPermitted
from tongbao.payments.adapters.secret_box import KEY_BYTES, AesGcmBox
from tongbao.payments.ports import SecretBox


def open_box(path: Path) -> SecretBox:
    """Return the box over the key in ``path``; several processes may open it at once, also for the first time.

    Raises NotPermitted ``key_file_exposed`` where others may read the file, or where it holds no key.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}.new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Whoever links first has made the key; the others read that one.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_bytes()
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) or len(key) != KEY_BYTES:
        raise NotPermitted("key_file_exposed", f"{path} must hold {KEY_BYTES} bytes and be mode 600")
    return AesGcmBox((key,))
