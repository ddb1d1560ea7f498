"""Files inside artifacts by addresses of their own: ``oci://registry/repository@sha256:…#model.onnx``.

Such an address means the same bytes everywhere and for ever. Copies are kept in the cache, verified, by their checksum.
"""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from fair_dagster.domain.errors import FairError, NotFoundError, RefusedError, StorageError
from fair_dagster.domain.items.artifacts import Told, multihash
from fair_dagster.domain.registries.assets import SCHEME
from fair_dagster.flows.services import Services
from fair_dagster.oci.artifacts.titles import title_problem
from fair_dagster.oci.references import Reference
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.oci.descriptors import Descriptor
    from fair_dagster.oci.registry.registries import Registries


def file_href(artifact: Reference, title: str) -> str:
    """The address of a file of ``artifact``, which is named by its digest."""
    return f"{SCHEME}{artifact}#{quote(title)}"


def split_href(href: str) -> tuple[Reference, str]:
    """The artifact and the title of a file.

    Raises:
        RefusedError: it is no such address. One by a tag is none: it may mean another file tomorrow. Nor is one with
            a title that is no path below a folder: a copy gets its name from there.
    """
    name, _, fragment = href.partition("#")
    reference, title = Reference.parse(name), unquote(fragment)
    problems = [] if reference.digest else ["it names no digest: oci://registry/repository@sha256:…#file"]
    problems += [] if title else ["it names no file of the artifact: …@sha256:…#file"]
    problems += [problem] if title and (problem := title_problem(title)) else []
    if problems:
        raise RefusedError(href, problems)
    return reference, title


def href_problems(href: str, what: str) -> list[str]:
    """Why ``href`` names no file of an artifact; the registry is not asked."""
    try:
        split_href(href)
    except RefusedError as error:
        return [f"{what} ({href}): {problem}" for problem in error.problems]
    return []


def local_file(
    services: Services, href: str, checksum: str | None = None, registries: "Registries | None" = None
) -> Path:
    """A copy of the file on this machine. With its ``checksum``, a copy that is there is taken without asking anybody.

    Raises:
        StorageError: it cannot be had, or has another checksum than ``checksum``, a hex multihash.
    """
    from fair_dagster.storage.cache import keep_copy

    asked = registries or services.registries

    def fetch(target: Path) -> str:
        try:
            reference, title = split_href(href)
            layer = layer_titled(asked, reference, title)
            _require_size(services.settings, href, layer)
            asked.download(reference, layer, target)
        except StorageError:
            raise
        except FairError as error:
            raise StorageError(f"{href} cannot be fetched: {error}") from error
        return multihash(layer.hex)

    return keep_copy(services.settings, href, Told(checksum=checksum), fetch, PurePosixPath(split_href(href)[1]).name)


def layer_titled(registries: "Registries", reference: Reference, title: str) -> "Descriptor":
    """The layer of an artifact that is the file ``title``.

    Raises:
        NotFoundError: it has no such file.
        As ``Registries``.
    """
    from fair_dagster.oci.artifacts.listing import file_title

    for layer in registries.image_manifest(reference).layers:
        if file_title(layer) == title:
            return layer
    raise NotFoundError(f"{title!r} in {reference}", ["the artifact has no such file"])


def title_of(registries: "Registries", artifact: Reference, checksum: str) -> str:
    """The title of the file of ``artifact`` with ``checksum``, a hex multihash.

    Raises:
        NotFoundError: it has no such file.
        As ``Registries``.
    """
    from fair_dagster.oci.artifacts.listing import file_title

    for layer in registries.image_manifest(artifact).layers:
        if multihash(layer.hex) == checksum:
            return file_title(layer)
    raise NotFoundError(f"a file with checksum {checksum} in {artifact}", ["the artifact has no such file"])


def _require_size(settings: Settings, href: str, layer: "Descriptor") -> None:
    if layer.size > settings.fetch_max_bytes:
        limit = f"FAIR_FETCH_MAX_BYTES allows {settings.fetch_max_bytes:,}"
        raise StorageError(f"{href} has {layer.size:,} bytes, and {limit}")
