"""Every setting of the system as one typed object. Read from ``FAIR_*`` when asked for, never at import.

Paths of local state are derived from ``home`` here and nowhere else.
"""

import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fair_dagster.domain.urls import has_credentials

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_PARTITIONS_HERE, _PARTITIONS_SHARED = 500, 100
_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]*://|[^/:]+:(?!//))")


class Settings(BaseSettings):
    """Settings with defaults that work on one machine. ``Settings()`` reads the environment."""

    # An error that shows what it was given would show passwords.
    model_config = SettingsConfigDict(env_prefix="FAIR_", frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Field(default=Path(".fair"), description="Holds all local state; nothing is written elsewhere.")
    catalog: str = Field(default="", description="Folder of a JSON catalog, or URL of a STAC API.")
    catalog_token: SecretStr | None = Field(default=None, description="Bearer token that the STAC API asks for.")
    pgstac_dsn: SecretStr | None = Field(
        default=None,
        description="PostgreSQL URL of the pgstac behind the STAC API: families are written in one transaction.",
    )
    artifacts: str = Field(
        default="", description="Where published artifacts are kept: a folder or s3://bucket/prefix."
    )
    artifacts_url: str = Field(default="", description="Public base URL under which the same artifacts can be read.")
    s3_endpoint: str = Field(default="", description="URL of an S3 server other than AWS.")
    s3_region: str = Field(default="us-east-1", description="Region of the bucket.")
    s3_path_style: bool = Field(default=False, description="Name the bucket in the path, not in the host.")
    fetch_max_bytes: int = Field(default=20 << 30, gt=0, description="Largest file that is fetched from a URL.")
    fetch_seconds: float = Field(default=3600.0, gt=0, description="Longest time that one such file may take.")
    fetch_private: bool = Field(default=False, description="Fetch from private addresses and by http as well.")
    registries: tuple[str, ...] = Field(
        default=(),
        description="Container registries that may stand at private addresses; http://host:port for one without TLS.",
    )
    oci_repository: str = Field(
        default="",
        description="Where promoted models are pushed, e.g. registry.example/fair: below it a repository a model.",
    )
    oci_watch: tuple[str, ...] = Field(
        default=(),
        description="Repositories whose pushed models are registered; registry.example/fair/* means all below it.",
    )
    oci_poll_seconds: int = Field(
        default=300, ge=1, description="Seconds between two looks at the tags of watched repositories."
    )
    oci_image: Literal["modelcar", "data", "none"] = Field(
        default="modelcar", description="What image is built of a model that was pushed to a watched repository."
    )
    oci_listen_secret: SecretStr | None = Field(
        default=None, description="What a registry says in the Authorization header of its notifications."
    )
    require_signed: bool = Field(
        default=False, description="Refuse models that no trusted key has signed: in publication, prediction, images."
    )
    trusted_keys: tuple[Path, ...] = Field(
        default=(), description="PEM files of the public keys and certificates that may sign models, as JSON."
    )
    key_password: SecretStr | None = Field(default=None, description="Password of the private key that signs.")
    allowed_registries: tuple[str, ...] = Field(
        default=(), description="Where policy lets models and images come from: registry or registry/path, as JSON."
    )
    modelcar_base: str = Field(
        default="docker.io/library/busybox:1.37.0-musl",
        description="Base of images for KServe: an image with a shell, or the path of a static BusyBox.",
    )
    models: Path = Field(default=PROJECT_ROOT / "models", description="Folder of the base model folders.")
    schema_cache: Path | None = Field(default=None, description="Where extension schemas are kept.")
    offline: bool = Field(default=False, description="Never fetch a schema.")
    entrypoint_roots: tuple[str, ...] = Field(
        default=("models.",), description="Module prefixes that entrypoints of items may start with."
    )
    allow_pickle: bool = Field(default=False, description="Let pipelines load weights that are pickles.")
    executor: Literal["local", "celery", "kubernetes"] = Field(
        default="local", description="Where runs are executed: on this machine, by Celery workers, or as pods."
    )
    broker_url: SecretStr | None = Field(
        default=None, description="Redis that hands runs to Celery workers, e.g. redis://:password@host:6379/0."
    )
    partitions_a_run: int | None = Field(
        default=None,
        ge=1,
        description="How many partitions a run of a backfill takes; 500, or 100 where machines share a backfill.",
    )
    training_resources: dict[str, dict[str, str]] = Field(
        default={"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
        description="What a pod that trains gets on Kubernetes, as JSON.",
    )
    experiment_tracker: str | None = Field(
        default=None, description="ZenML experiment tracker of steps on other machines."
    )
    tracking: Literal["mlflow", "wandb", "none"] = Field(default="mlflow", description="Where training is tracked.")
    tracking_uri: str = Field(default="", description="Server of the tracker; without it under the home.")
    models_repo: str = Field(default="", description="Git repository whose branch holds models/: a path or URL.")
    models_branch: str = Field(default="main", description="The branch of that repository.")
    sensor_interval: int = Field(default=30, ge=1, description="Seconds between two ticks of a sensor.")
    reconcile_cron: str = Field(default="0 3 * * *", description="When the catalog is compared with what should be.")
    reconcile_repair: bool = Field(default=False, description="Let the schedule repair what it finds.")
    dagster_url: str = Field(default="", description="Where the Dagster UI answers; asked to reload new folders.")
    dagster_public_url: str = Field(
        default="", description="Where people find the Dagster UI, for links in alerts; that of dagster_url without it."
    )
    alert_webhook: SecretStr | None = Field(default=None, description="URL that failed runs are posted to.")
    alert_secret: SecretStr | None = Field(default=None, description="Signs what is posted there.")

    def __hash__(self) -> int:
        # Clients are kept by settings, and a field that is a mapping has no hash of its own.
        return hash(json.dumps(self.plain(), sort_keys=True))

    def model_post_init(self, _: object) -> None:
        # Frozen applies to callers; here the two derived defaults are filled in.
        object.__setattr__(self, "home", self.home.expanduser().resolve())
        # Runs are executed in other folders.
        object.__setattr__(self, "trusted_keys", tuple(one.expanduser().resolve() for one in self.trusted_keys))
        if self.models_repo and not _REMOTE.match(self.models_repo):
            object.__setattr__(self, "models_repo", str(Path(self.models_repo).expanduser().resolve()))
        following = self.repository_path / "current" / "models"
        if self.models_repo and "models" not in self.model_fields_set:
            object.__setattr__(self, "models", following)
        if self.models != following:
            object.__setattr__(self, "models", self.models.expanduser().resolve())

    @model_validator(mode="after")
    def _one_source_of_models(self) -> Self:
        if self.models_repo and not self.follows_branch:
            raise ValueError(
                f"FAIR_MODELS ({self.models}) and FAIR_MODELS_REPO are both set, and base models come from one place: "
                "unset one of them"
            )
        return self

    @property
    def follows_branch(self) -> bool:
        """Whether base models come from checkouts of a repository's branch, not from a folder of the user's."""
        return bool(self.models_repo) and self.models.is_relative_to(self.repository_path)

    def pinned(self) -> Self:
        """Settings that keep to the checkout that is current now: what one run needs, and its child processes.

        Without it base models are read from whatever checkout is current at the moment, as a process needs that lives
        longer than a commit.
        """
        return self.model_copy(update={"models": self.models.resolve()})

    def environment(self) -> dict[str, str]:
        """The ``FAIR_*`` variables under which another process reads equal settings, without the secrets."""
        prefix = str(self.model_config["env_prefix"])
        return {
            f"{prefix}{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self.plain().items()
        }

    def plain(self) -> dict[str, Any]:
        """The settings as JSON, without the secrets: those stay in the environment that they came from."""
        secrets = {name for name, value in self if _is_secret(value)}
        return self.model_dump(mode="json", exclude_none=True, exclude=secrets)

    @property
    def trusted_registries(self) -> tuple[str, ...]:
        """Registries that may stand at private addresses: those that settings name for whatever reason."""
        places = (self.oci_repository, *self.oci_watch)
        named = (place.removeprefix("oci://").partition("/")[0] for place in places)
        # What `registries` says of a host comes last, and counts: it may name its scheme.
        return (*(host for host in named if host), *self.registries)

    @property
    def partitions_of_run(self) -> int:
        """Starting a run costs seconds, and a run that fails is repeated; of a single run machines share nothing."""
        return self.partitions_a_run or (_PARTITIONS_HERE if self.executor == "local" else _PARTITIONS_SHARED)

    @property
    def tick_seconds(self) -> int:
        """What a sensor tells Dagster of its interval.

        The daemon looks every 5 s. A sensor whose interval is a multiple of that would miss its turn by milliseconds
        and wait for the next: ticks would be 15 s apart instead of 10.
        """
        return max(self.sensor_interval - 1, 1)

    @property
    def catalog_path(self) -> Path:
        return Path(self.catalog).expanduser().resolve() if self.catalog else self.home / "catalog"

    @property
    def damaged_path(self) -> Path:
        """Copies of what was damaged behind a STAC API and was overwritten from this machine."""
        return self.home / "catalog" / ".damaged"

    @property
    def artifacts_path(self) -> Path:
        """The folder of artifacts. Where a bucket holds them, the one that did before."""
        is_folder = self.artifacts and "://" not in self.artifacts
        return Path(self.artifacts).expanduser().resolve() if is_folder else self.home / "artifacts"

    @property
    def tracking_path(self) -> Path:
        """What trainings have logged, and which of it the tracker has not got yet."""
        return self.home / "tracking"

    @property
    def dagster_path(self) -> Path:
        return self.home / "dagster"

    @property
    def zenml_path(self) -> Path:
        return self.home / "zenml"

    @property
    def zenml_identity_path(self) -> Path:
        """Which ZenML belongs to this home; beside ``zenml_path``, which may be lost."""
        return self.home / "zenml-identity.json"

    @property
    def repository_path(self) -> Path:
        """A mirror of the repository of base models, and checkouts of it."""
        return self.home / "repository"

    @property
    def schema_cache_path(self) -> Path:
        return (self.schema_cache or self.cache_path / "schemas").expanduser().resolve()

    @property
    def services_path(self) -> Path:
        """Servers that `scripts/services` runs."""
        return self.home / "services"

    @property
    def runs_path(self) -> Path:
        """What each run was told, printed and left: a folder a run."""
        return self.home / "runs"

    @property
    def oci_inbox_path(self) -> Path:
        """Notifications of registries that nobody has looked at yet."""
        return self.home / "oci" / "inbox"

    @property
    def predictions_path(self) -> Path:
        return self.home / "predictions"

    @property
    def cache_path(self) -> Path:
        """Copies that can be fetched again."""
        return self.home / "cache"


def _is_secret(value: object) -> bool:
    return isinstance(value, SecretStr) or (isinstance(value, str) and has_credentials(value))
