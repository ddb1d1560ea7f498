"""``oci``: models as artifacts of registries. Which commands there are; each stands in another module."""

from collections.abc import Mapping
from typing import ClassVar

import click

from fair_dagster.cli.terminal.nouns import LazyGroup, Noun

COMMANDS: Mapping[str, Noun] = {
    "push": Noun("oci.push", "push", "Push files, a folder, metadata alone, or a model of the catalog."),
    "pull": Noun("oci.transfer", "pull", "Lay the files of an artifact below a folder, verified."),
    "image": Noun("oci.image", "image", "Make an image of a model: for KServe, or for image volumes of Kubernetes."),
    "copy": Noun("oci.transfer", "copy", "Copy an artifact to another repository or registry."),
    "show": Noun("oci.look", "show", "What an artifact holds: files, metadata, annotations."),
    "list": Noun("oci.look", "list_", "The artifacts of a repository, or the repositories of a registry."),
    "crawl": Noun("oci.crawl", "crawl", "Look through registries, and ask for models by their metadata."),
    "referrers": Noun("oci.look", "referrers", "What refers to an artifact: signatures, images, finetuned models."),
    "delete": Noun("oci.manage", "delete", "Delete an artifact."),
    "sign": Noun("oci.sign", "sign", "Sign an artifact, a version or files with a private key."),
    "attest": Noun("oci.sign", "attest", "Sign where a model comes from, beside its artifact."),
    "verify": Noun("oci.verify", "verify", "Check who signed an artifact."),
    "policy": Noun("oci.policy", "policy", "Check manifests of Kubernetes and artifacts against policy."),
    "register": Noun("oci.register", "register", "Register a model of a registry in the catalog."),
    "listen": Noun("oci.listen", "listen", "Take notifications of registries about what is pushed."),
    "login": Noun("oci.manage", "login", "Log in to a registry."),
}


class _Oci(LazyGroup):
    nouns: ClassVar[Mapping[str, Noun]] = COMMANDS


@click.group("oci", cls=_Oci)
def oci() -> None:
    """Models as artifacts of container registries.

    A REFERENCE is registry/repository:tag, or …@sha256:… for what stays the same for ever. A registry that is named
    here is trusted; one without TLS that is not on this machine has to be in FAIR_REGISTRIES as http://host:port.
    """
