"""Predictions: features that a model draws on images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.fair.part import Part
from fair_dagster.flows import parcels, predictions
from fair_dagster.orchestration.runs.started import Started

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries


class Predictions(Part):
    """What ``Fair`` does to predict."""

    def predict(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
        registries: "Registries | None" = None,
    ) -> Started:
        """Start drawing features on ``images`` with a model. The subject is the GeoJSON file, in EPSG:4326.

        Args:
            model: of the catalog, or ``oci://registry/repository@sha256:…``: an artifact with an item inside.
            images: a folder of PNG or GeoTIFF chips.
            overrides: inference parameters by name, as the item's ``mlm:hyperparameters`` lists them.
            output: the GeoJSON file; one under the home folder without.
            registries: asks the registry of such an artifact; by default a client that trusts those of the settings.

        Raises:
            NotFoundError: no such model.
            RefusedError: parameters or images cannot be used; every reason is named.
        """
        # Whether Dagster is there comes first: nobody needs to mend images for a run that cannot be started.
        from fair_dagster.orchestration import keys, run_config
        from fair_dagster.orchestration.runs.launches import Launch

        prepared = predictions.prepare(self.services, model, images, overrides or {}, output, registries=registries)
        config = {"model": prepared.model, "output": str(prepared.output)}
        if self.settings.executor == "celery":
            config["parcel"] = parcels.pack(self.services.artifacts, prepared)
        else:
            config |= {"config_path": str(prepared.config_path), "result_path": str(prepared.result_path)}
        tags = {keys.TAG_MODEL: prepared.model}
        launch = Launch(keys.PREDICT_JOB, config=run_config.configure_prediction(config), tags=tags)
        try:
            return self._start(launch, str(prepared.output))
        except BaseException:
            if "parcel" in config:
                parcels.discard(self.services.artifacts, config["parcel"])
            raise

    def predict_here(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
        registries: "Registries | None" = None,
    ) -> Path:
        """Draw features on ``images`` and wait; as ``predict``, but without Dagster, so that no run is recorded.

        Returns:
            The GeoJSON file.

        Raises:
            NotFoundError: no such model.
            RefusedError: parameters or images cannot be used; every reason is named.
            PipelineError: the model's code failed; the message is the cause.
        """
        prepared = predictions.prepare(self.services, model, images, overrides or {}, output, registries=registries)
        return predictions.run_here(self.services, prepared)
