"""Whether a model may be used: the one question that publication, prediction, images and sensors ask here.

Nothing is refused unless ``FAIR_REQUIRE_SIGNED`` is set. Then a model counts when a key of ``FAIR_TRUSTED_KEYS`` has
signed it: its artifact in a registry, or its files, whose signatures stand in the artifact store by the digest of what
they sign. How signatures are made and verified stands in ``trust``.

See docs/decisions/0038.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from fair_dagster.domain import items
from fair_dagster.domain.errors import ProblemsError, RefusedError
from fair_dagster.domain.items.artifacts import PublishedArtifact, sha256_of
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.promoted_items import CHECKPOINT_ASSET, MODEL_ASSET
from fair_dagster.domain.registries.assets import oci_asset, oci_href
from fair_dagster.domain.requests import OCI_KEY
from fair_dagster.domain.versions import VersionRecord, named_version
from fair_dagster.flows.services import Services
from fair_dagster.oci.references import Reference
from fair_dagster.pipelines.zenml.artifacts import version_file
from fair_dagster.settings import Settings
from fair_dagster.storage.local import describe
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.oci.trust.keys import SigningKey, TrustedKey
    from fair_dagster.oci.trust.verifying import Verification

_FOLDER = "signatures"
_BUNDLE_FILE = "bundle.sigstore.json"
_MODEL_ROLES = frozenset({"mlm:model", "mlm:weights"})
_HINT = "sign it with fair-dagster oci sign, or unset FAIR_REQUIRE_SIGNED"

Files = Mapping[str, str]
"""SHA-256 in hex by what people call a file: the key of an asset, or a path."""


@dataclass(frozen=True)
class Vouched:
    """Who signed the files of a model, and where that stands."""

    key: "TrustedKey"
    place: str


@overload
def require_trusted(
    services: Services, subject: Reference, *, registries: "Registries | None" = None
) -> "Verification | None": ...
@overload
def require_trusted(
    services: Services, subject: Item, *, registries: "Registries | None" = None
) -> "Vouched | None": ...
def require_trusted(
    services: Services, subject: "Reference | Item", *, registries: "Registries | None" = None
) -> "Verification | Vouched | None":
    """Make sure that a model may be used; None where the settings ask for no signature.

    Args:
        subject: an artifact in a registry, or an item, all of whose model files have to be signed together. What is
            used of an artifact afterwards has to be taken by ``pinned``, which no tag moves.
        registries: the client for a reference that somebody has typed; that of the settings without.

    Raises:
        RefusedError: it is not signed, or no signature counts; every reason is named.
        As ``Registries`` and the artifact store: what cannot be checked is not trusted.
    """
    if not services.settings.require_signed:
        return None
    if isinstance(subject, Reference):
        from fair_dagster.oci.trust.verifying import verify

        return verify(registries or services.registries, subject, trusted_keys(services.settings)).require()
    files, problems = model_files(subject)
    title = f"trust in {subject['id']}"
    if problems or not files:
        raise RefusedError(title, problems or ["it names no model file that could be signed", _HINT])
    return _require_files(services, title, files, oci_href(subject), registries)


def version_problems(services: Services, version: VersionRecord, known: Mapping[str, PublishedArtifact]) -> list[str]:
    """Why a version must not be published; empty where the settings ask for no signature.

    Args:
        known: what was published of it before.

    Raises:
        As ``require_trusted``, but that it is not signed.
    """
    if not services.settings.require_signed:
        return []
    asset = oci_asset(version.metadata.get(OCI_KEY))
    try:
        files = _version_files(services.settings, version, known)
        _require_files(services, f"trust in {version.id}", files, str(asset["href"]) if asset else None, None)
    except ProblemsError as error:
        return list(error.problems)
    return []


def require_folder(services: Services, folder: Path, item: Item) -> None:
    """As ``require_trusted`` for a base model that is about to be published from its folder.

    One without weights of its own has nothing that could be signed.
    """
    if not services.settings.require_signed:
        return
    assets = {}
    for key, asset in item["assets"].items():
        path = folder / str(asset.get("href", ""))
        is_model = _MODEL_ROLES & set(items.roles(asset))
        assets[key] = {**asset, "file:checksum": describe(path).checksum} if is_model and path.is_file() else asset
    told = {**item, "assets": assets}
    if any(model_files(told)):
        require_trusted(services, told)


def sign_files(artifacts: ArtifactStore, name: str, files: Files, key: "SigningKey") -> list[str]:
    """Sign files that are in no registry, and leave the signature in the artifact store, under each of their digests.

    Args:
        name: what is signed, for people.
        files: by their paths, as in a folder that ``model_signing`` verifies.

    Returns:
        Where the signature stands.
    """
    from fair_dagster.oci.trust.bundles import make_bundle
    from fair_dagster.oci.trust.statements import signature_statement

    if not files:
        raise RefusedError(f"signature of {name}", ["there are no files"])
    bundle = make_bundle(signature_statement(name, files), key)
    keys = [f"{_FOLDER}/{digest}/{key.fingerprint}/{_BUNDLE_FILE}" for digest in sorted(set(files.values()))]
    for place in keys:
        artifacts.write(bundle, place)
    return [artifacts.place(place) for place in keys]


def sign_version(services: Services, version_id: str, key: "SigningKey") -> Files:
    """Sign what a version publishes, before it is promoted; gives the files.

    Raises:
        NotFoundError: no such version.
        RefusedError: ZenML holds no files of it.
    """
    version = services.versions.get(*named_version(version_id))
    files = _version_files(services.settings, version, {})
    sign_files(services.artifacts, version.id, files, key)
    return files


def trusted_keys(settings: Settings, paths: Sequence[Path] = ()) -> "tuple[TrustedKey, ...]":
    """The keys of ``paths``, or of ``FAIR_TRUSTED_KEYS`` without any. Errors as ``trust.keys.load_trusted``."""
    from fair_dagster.oci.trust.keys import load_trusted

    return load_trusted(paths or settings.trusted_keys)


def model_files(item: Item) -> tuple[dict[str, str], list[str]]:
    """The model files of an item, and why others cannot be told."""
    found = {key: asset for key, asset in item.get("assets", {}).items() if _MODEL_ROLES & set(items.roles(asset))}
    found |= dict(one for one in (items.onnx_asset(item), items.weights_asset(item)) if one is not None)
    files, problems = {}, []
    for key, asset in found.items():
        digest = sha256_of(asset.get("file:checksum"))
        if digest is None:
            problems.append(
                f"asset {key!r} has no file:checksum by SHA-256: nobody can say whether it is what was signed"
            )
        else:
            files[key] = digest
    return files, problems


def _version_files(
    settings: Settings, version: VersionRecord, known: Mapping[str, PublishedArtifact]
) -> dict[str, str]:
    sources = {MODEL_ASSET: version.onnx_uri, CHECKPOINT_ASSET: version.model_uri}
    files: dict[str, str] = {}
    for key, uri in sources.items():
        published = sha256_of(known[key].checksum) if key in known else None
        path = None if published else version_file(settings, version, uri)
        if published:
            files[key] = published
        elif path is not None and (digest := sha256_of(describe(path).checksum)):
            files[path.name if path.name not in files else f"{key}/{path.name}"] = digest
    if not files:
        raise RefusedError(f"files of {version.id}", ["ZenML holds neither an ONNX model nor weights of it"])
    return files


def _require_files(
    services: Services, title: str, files: Files, href: str | None, registries: "Registries | None"
) -> Vouched:
    """Find one signature for all ``files``: signed one by one they could be of different models."""
    keys = trusted_keys(services.settings)
    if not keys:
        raise RefusedError(title, ["no key is trusted: set FAIR_TRUSTED_KEYS"])
    reasons: list[str] = []
    found = _in_store(services.artifacts, files, keys, reasons)
    if found is None and href is not None:
        found = _in_registry(registries or services.registries, files, href, keys, reasons)
    if found is None:
        raise RefusedError(title, [f"no trusted key has signed {', '.join(sorted(files))}: {_HINT}", *reasons])
    return found


def _in_store(
    artifacts: ArtifactStore, files: Files, keys: "Sequence[TrustedKey]", reasons: list[str]
) -> Vouched | None:
    from fair_dagster.oci.trust.bundles import Bundle
    from fair_dagster.oci.trust.statements import SignedModel

    seen: set[bytes] = set()
    folders = [one for digest in sorted(set(files.values())) for one in artifacts.prefixes(f"{_FOLDER}/{digest}")]
    for folder in folders:
        place = f"{folder}/{_BUNDLE_FILE}"
        content = artifacts.read(place)
        if content is None or content in seen:
            continue
        seen.add(content)
        try:
            key, statement = Bundle.parse(content).verify(keys)
            lacking = _lacking(files, SignedModel.parse(statement).files)
        except ValueError as error:
            reasons.append(f"{artifacts.place(place)}: {error}")
            continue
        if not lacking:
            return Vouched(key, artifacts.place(place))
        reasons.append(f"{artifacts.place(place)} does not sign {lacking}")
    return None


def _in_registry(
    registries: "Registries", files: Files, href: str, keys: "Sequence[TrustedKey]", reasons: list[str]
) -> Vouched | None:
    from fair_dagster.oci.trust.verifying import verify

    try:
        found = verify(registries, Reference.parse(href), keys).require()
    except ProblemsError as error:
        reasons += [f"{href}: {problem}" for problem in error.problems]
        return None
    if lacking := _lacking(files, found.files):
        reasons.append(f"{href} is signed, and holds another {lacking}")
        return None
    return Vouched(found.signatures[0].key, href)


def _lacking(files: Files, signed: Files) -> str:
    there = set(signed.values())
    return ", ".join(sorted(name for name, digest in files.items() if digest not in there))
