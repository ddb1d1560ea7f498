"""Every setting of the system as one typed object. Read from ``FAIR_*`` when asked for, never at import.

Paths of local state are derived from ``home`` here and nowhere else.
"""

import json
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Settings with defaults that work on one machine. ``Settings()`` reads the environment."""

    model_config = SettingsConfigDict(env_prefix="FAIR_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".fair"), description="Holds all local state; nothing is written elsewhere.")
    catalog: str = Field(default="", description="Folder of a JSON catalog, or URL of a STAC API.")
    models: Path = Field(default=PROJECT_ROOT / "models", description="Folder of the base model folders.")
    schema_cache: Path | None = Field(default=None, description="Where extension schemas are kept.")
    offline: bool = Field(default=False, description="Never fetch a schema.")
    entrypoint_roots: tuple[str, ...] = Field(
        default=("models.",), description="Module prefixes that entrypoints of items may start with."
    )
    allow_pickle: bool = Field(default=False, description="Let pipelines load weights that are pickles.")
    experiment_tracker: str | None = Field(default=None, description="ZenML experiment tracker of a finetune.")

    def model_post_init(self, _: object) -> None:
        # Frozen applies to callers; here the two derived defaults are filled in.
        object.__setattr__(self, "home", self.home.expanduser().resolve())
        object.__setattr__(self, "models", self.models.expanduser().resolve())

    def environment(self) -> dict[str, str]:
        """The ``FAIR_*`` variables under which another process reads equal settings."""
        values = self.model_dump(mode="json", exclude_none=True)
        prefix = str(self.model_config["env_prefix"])
        return {
            f"{prefix}{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    @property
    def catalog_path(self) -> Path:
        return Path(self.catalog).expanduser().resolve() if self.catalog else self.home / "catalog"

    @property
    def artifacts_path(self) -> Path:
        return self.home / "artifacts"

    @property
    def dagster_path(self) -> Path:
        return self.home / "dagster"

    @property
    def zenml_path(self) -> Path:
        return self.home / "zenml"

    @property
    def schema_cache_path(self) -> Path:
        return (self.schema_cache or self.cache_path / "schemas").expanduser().resolve()

    @property
    def runs_path(self) -> Path:
        """What each run was told, printed and left: a folder a run."""
        return self.home / "runs"

    @property
    def predictions_path(self) -> Path:
        return self.home / "predictions"

    @property
    def cache_path(self) -> Path:
        """Copies that can be fetched again."""
        return self.home / "cache"
