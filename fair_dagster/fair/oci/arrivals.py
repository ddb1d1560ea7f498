"""Models that others push: registering them, and hearing of them. And logging in where that is needed."""

from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.stac import Item
from fair_dagster.fair.oci.client import RegistryPart, to_reference
from fair_dagster.flows import items as item_flow

if TYPE_CHECKING:
    from fair_dagster.oci.notifications.listener import Listener
    from fair_dagster.oci.references import Reference


class Arrivals(RegistryPart):
    """What ``Fair.oci`` does with models of others."""

    def register(self, reference: "Reference | str") -> Item | None:
        """Register a model of a registry as a base model, and build its image; None where it brings no item.

        A registry at a private address has to be in the settings: runs ask it as well.

        Raises:
            NotFoundError: there is no such artifact.
            RefusedError: it is not trusted, its item is not valid, or its name is taken; every reason is named.
        """
        from fair_dagster.flows.registries import models
        from fair_dagster.orchestration import keys, run_config

        source = to_reference(reference)
        pinned = source.at(self.services.registries.digest_of(source))
        tags = {keys.TAG_ARTIFACT: str(pinned), keys.TAG_CAUSE: f"asked for as {source}"}
        self._execute(keys.PUSHED_JOB, config=run_config.configure_pushed(str(pinned)), tags=tags)
        item_id = models.is_known(self.services.catalog, pinned)
        return item_flow.find(self.services.catalog, item_id) if item_id else None

    def listener(self, host: str = "127.0.0.1", port: int = 8085) -> "Listener":
        """A server that keeps the notifications of registries for the sensor ``oci_pushes``; bound, not yet serving.

        Args:
            port: 0 takes a free one.

        Raises:
            RefusedError: ``FAIR_OCI_LISTEN_SECRET`` is not set.
            StorageError: the address cannot be listened on.
        """
        from fair_dagster.oci.notifications.inbox import Inbox
        from fair_dagster.oci.notifications.listener import Listener

        kept = self.settings.oci_listen_secret
        if kept is None or not kept.get_secret_value():
            problem = "set FAIR_OCI_LISTEN_SECRET here, and the header Authorization: Bearer … in the registry"
            raise RefusedError("listening for notifications", [problem])
        return Listener(host, port, kept.get_secret_value(), Inbox(self.settings.oci_inbox_path))

    def login(self, registry: str, user: str, password: str) -> str:
        """Check a user's password at a registry, and keep it where Docker and Podman look for it.

        Returns:
            What keeps it: a file, or the command of a credential helper.

        Raises:
            RefusedError: the registry does not take them; nothing was kept.
        """
        from fair_dagster.oci.registry.login import login

        anywhere = to_reference(f"{registry}/any")
        named = (anywhere.api_host,) if self.trusts_references else ()
        return login(registry, user, password, trusted=(*named, *self.settings.trusted_registries))
