"""Seals between the processes of one house that ask for judgements and the one that gives them.

A seal is an HMAC-SHA-256 (RFC 2104) in hexadecimal under a secret that these processes share in a file. That of an answer
covers the seal of its question and the status, so that no answer can be made, changed, or given to another question, not
even by whoever listens at the port while the scoring process is away. What is sent is sealed, not encrypted.
"""

import hashlib
import hmac
from pathlib import Path

from tongbao.core.secret_file import open_secret

SECRET_BYTES = 32
SECRET_FILE = "scoring.key"  # noqa: S105 - where the secret is kept, not the secret


class JudgeSeal:
    """Makes and checks seals; raises ValueError for a secret of fewer than 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"the secret of judgements has at least {SECRET_BYTES} bytes")
        # Keys of their own: a question can never be taken for an answer.
        self._question_key = hmac.digest(secret, b"tongbao/judge/question/v1", hashlib.sha256)
        self._answer_key = hmac.digest(secret, b"tongbao/judge/answer/v1", hashlib.sha256)

    def of_question(self, body: bytes) -> str:
        """Return the seal of a question."""
        return hmac.digest(self._question_key, body, hashlib.sha256).hex()

    def of_answer(self, question_seal: str, status: int, body: bytes) -> str:
        """Return the seal of an answer to the question with this seal."""
        return hmac.digest(
            self._answer_key, b"%s %d " % (question_seal.encode(), status) + body, "sha256"
        ).hex()

    def seals_question(self, seal: str, body: bytes) -> bool:
        """Return whether a seal is that of a question; takes as long for a wrong one as for a right one."""
        return hmac.compare_digest(seal.encode(), self.of_question(body).encode())

    def seals_answer(self, seal: str, question_seal: str, status: int, body: bytes) -> bool:
        """Return whether a seal is that of an answer to this very question."""
        return hmac.compare_digest(seal.encode(), self.of_answer(question_seal, status, body).encode())


def open_judge_seal(secrets_dir: Path) -> JudgeSeal:
    """Return the seal of a house; whichever of its processes starts first makes the secret.

    Raises NotPermitted ``key_file_exposed``.
    """
    return JudgeSeal(open_secret(secrets_dir / SECRET_FILE, SECRET_BYTES))
