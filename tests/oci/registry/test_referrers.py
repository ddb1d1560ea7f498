"""Referrers: on a registry without an API for them, with many writers, and on one that has it."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from fair_dagster.domain.errors import RefusedError, ServiceError, StorageError
from fair_dagster.oci.artifacts.copying import copy
from fair_dagster.oci.artifacts.deleting import delete
from fair_dagster.oci.artifacts.listing import list_artifacts
from fair_dagster.oci.descriptors import EMPTY, EMPTY_CONTENT, OCI_INDEX, Descriptor, Manifest
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pushing import Part, Pushed, attach, push
from fair_dagster.oci.references import Reference, referrers_tag
from fair_dagster.oci.registry import referrers as module
from fair_dagster.oci.registry.registries import Registries
from tests.oci.faults import Faults, Order
from tests.services.servers import RegistryServer

SIGNATURE = "application/vnd.example.signature"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 0.0)


@pytest.fixture
def subject(registries: Registries, place: Reference) -> Pushed:
    return push(registries, place, [Part(b"model", "m")], ModelMetadata(name="m"))


def sign(registries: Registries, subject: Reference, text: str) -> Pushed:
    return attach(registries, subject, SIGNATURE, [Part(text.encode(), "sig", "text/plain")], {"by": text})


def test_a_referrer_is_found_by_its_subject_and_hidden_from_listings(
    registries: Registries, place: Reference, subject: Pushed
) -> None:
    assert registries.referrers(place) == []
    made = sign(registries, place, "one")
    assert registries.referrers(place) == [made.manifest.descriptor]
    assert made.manifest.descriptor.annotations == {"by": "one"}
    assert made.manifest.artifact_type == SIGNATURE
    assert made.manifest.subject is not None
    assert made.manifest.subject.digest == subject.digest
    assert list(registries.tags(place)) == ["v1"]
    assert len(list_artifacts(registries, place).artifacts) == 1
    assert sorted(registries.tags(place, hidden=True)) == [referrers_tag(subject.digest), "v1"]


def test_attaching_again_changes_nothing(registries: Registries, place: Reference, subject: Pushed) -> None:
    sign(registries, place, "one")
    before = registries.digest_of(place.with_tag(referrers_tag(subject.digest)))
    sign(registries, place, "one")
    assert registries.digest_of(place.with_tag(referrers_tag(subject.digest))) == before


def test_a_writer_that_is_overtaken_before_it_writes_reads_again(
    faulty: tuple[Registries, Reference, Faults], registries: Registries, place: Reference, subject: Pushed
) -> None:
    client, there, faults = faulty
    tag = referrers_tag(subject.digest)

    def overtake(body: bytes) -> bytes:
        faults.orders = []
        sign(registries, place, "faster")
        return body

    # Another writer comes between the reading of the index and its writing.
    faults.orders = [Order(f"GET /v2/{place.repository}/manifests/{tag}", alter=overtake)]
    sign(client, there, "slower")
    assert {one.annotations["by"] for one in registries.referrers(place)} == {"faster", "slower"}


def test_a_writer_whose_entry_is_written_over_writes_again(
    faulty: tuple[Registries, Reference, Faults], registries: Registries, place: Reference, subject: Pushed
) -> None:
    client, there, faults = faulty
    place_of_index = place.with_tag(referrers_tag(subject.digest))

    other = sign(registries, place, "other")
    registries.manifests.put(place_of_index, Manifest.make_index([]))

    def overwrite(body: bytes) -> bytes:
        # Somebody who had read the index before, and knew nothing of our entry.
        registries.manifests.put(place_of_index, Manifest.make_index([other.manifest.descriptor]))
        return body

    faults.orders = [Order(f"PUT /v2/{place.repository}/manifests/sha256-", alter=overwrite)]
    sign(client, there, "ours")
    assert {one.annotations["by"] for one in registries.referrers(place)} == {"other", "ours"}


def _sign_many(host: str, subject: str, locks: str, who: int) -> None:
    registries = Registries((host,), lambda _: None, Path(locks))
    for number in range(4):
        sign(registries, Reference.parse(subject), f"{who}-{number}")


def test_writers_of_one_machine_lose_nothing(
    registries: Registries, place: Reference, subject: Pushed, tmp_path: Path
) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        going = [pool.submit(_sign_many, place.registry, str(place), str(tmp_path), who) for who in range(2)]
        for one in going:
            one.result()
    found = {one.annotations["by"] for one in registries.referrers(place)}
    assert found == {f"{who}-{number}" for who in range(2) for number in range(4)}


def test_entries_of_what_is_gone_do_not_stand_in_the_way(
    registries: Registries, place: Reference, subject: Pushed
) -> None:
    """Other tools delete a referrer and leave its entry; the registry takes no index of what it does not have."""
    gone, kept = sign(registries, place, "gone"), sign(registries, place, "kept")
    registries.manifests.delete(gone.pinned, gone.digest)
    new = sign(registries, place, "new")
    assert registries.referrers(place) == [kept.manifest.descriptor, new.manifest.descriptor]


def test_something_else_under_the_tag_is_told_and_left(
    registries: Registries, place: Reference, subject: Pushed
) -> None:
    taken = place.with_tag(referrers_tag(subject.digest))
    registries.put_manifest(taken, subject.manifest)
    with pytest.raises(ServiceError, match="is no index: something else was pushed"):
        sign(registries, place, "one")
    assert registries.digest_of(taken) == subject.digest


def test_a_registry_with_the_api_keeps_no_index(
    faulty: tuple[Registries, Reference, Faults], registries: Registries, place: Reference, subject: Pushed
) -> None:
    client, there, faults = faulty
    faults.orders = [Order("PUT /v2/" + place.repository + "/manifests", set_headers={"OCI-Subject": subject.digest})]
    sign(client, there, "one")
    assert list(registries.tags(place, hidden=True)) == ["v1"]

    pages = [Manifest.make_index([Descriptor.of(text, "a/b", {"n": text.decode()})]).body for text in (b"1", b"2")]
    path = f"/v2/{place.repository}/referrers/{subject.digest}"
    faults.orders = [
        Order("page=2", status=200, headers={"Content-Type": OCI_INDEX}, body=pages[1]),
        Order(
            path,
            status=200,
            headers={"Content-Type": OCI_INDEX, "Link": f"<{path}?page=2>; rel=next"},
            body=pages[0],
        ),
    ]
    assert [one.annotations["n"] for one in client.referrers(there)] == ["1", "2"]
    faults.orders = [Order(path, status=500, body=b"{}", times=9)]
    with pytest.raises(ServiceError, match="answers 500"):
        client.referrers(there)


def test_a_copy_takes_referrers_along_when_asked_for(registries: Registries, place: Reference, subject: Pushed) -> None:
    made = sign(registries, place, "one")
    nested = sign(registries, made.pinned, "of the signature")
    target = Reference.parse(f"{place.registry}/{place.repository}-copy:v1")
    assert copy(registries, place, target).manifests == (subject.digest,)
    assert registries.referrers(target) == []
    done = copy(registries, place, target, referrers=True)
    assert set(done.manifests) == {subject.digest, made.digest, nested.digest}
    assert registries.referrers(target) == [made.manifest.descriptor]
    assert registries.referrers(target.at(made.digest)) == [nested.manifest.descriptor]
    # Within a registry nothing is sent.
    assert done.uploaded == 0
    assert list(registries.tags(target)) == ["v1"]


def test_an_index_is_copied_with_what_it_holds(registries: Registries, place: Reference, subject: Pushed) -> None:
    index = Manifest.make_index([subject.manifest.descriptor])
    registries.put_manifest(place.with_tag("index"), index)
    target = Reference.parse(f"{place.registry}/{place.repository}-copy:v1")
    copy(registries, place.with_tag("index"), target)
    assert registries.digest_of(target) == index.digest
    assert registries.manifest(target.at(subject.digest)) == subject.manifest
    with pytest.raises(RefusedError, match=f"has the digest {subject.digest}"):
        copy(registries, place, target.at(index.digest))


def test_what_others_need_is_not_deleted_unasked(registries: Registries, place: Reference, subject: Pushed) -> None:
    made = sign(registries, place, "one")
    registries.put_manifest(place.with_tag("v2"), subject.manifest)
    with pytest.raises(RefusedError) as raised:
        delete(registries, place)
    assert "tags v2 lead" in raised.value.problems[0]
    assert "1 manifests refer to it" in raised.value.problems[1]
    assert registries.referrers(place) == [made.manifest.descriptor]
    done = delete(registries, place, referrers=True, all_tags=True)
    assert set(done.digests) == {subject.digest, made.digest}
    assert set(done.tags) == {"v1", "v2"}
    assert list(registries.tags(place, hidden=True)) == []


def test_a_deleted_referrer_leaves_the_index(registries: Registries, place: Reference, subject: Pushed) -> None:
    first, second = sign(registries, place, "one"), sign(registries, place, "two")
    delete(registries, first.pinned)
    assert registries.referrers(place) == [second.manifest.descriptor]
    assert registries.digest_of(place) == subject.digest


def test_a_registry_that_deletes_tags_keeps_the_manifest(
    faulty: tuple[Registries, Reference, Faults], registries: Registries, place: Reference, subject: Pushed
) -> None:
    client, there, faults = faulty
    faults.orders = [Order(f"DELETE /v2/{place.repository}/manifests/v1", status=202)]
    assert delete(client, there).tags == ("v1",)
    assert registries.manifest(place.at(subject.digest)) == subject.manifest
    forbidden = json.dumps({"errors": [{"code": "DENIED", "message": "no"}]}).encode()
    faults.orders = [Order("DELETE", status=403, body=forbidden, times=9)]
    with pytest.raises(ServiceError, match=r"does not let .* be deleted \(403: no\)"):
        delete(client, there)
    faults.orders = [Order("DELETE", status=405, body=b"{}", times=9)]
    with pytest.raises(RefusedError, match="deletes nothing: its operator has to allow it"):
        delete(client, there)


def test_an_artifact_of_nothing_has_the_empty_config(registries: Registries, place: Reference) -> None:
    registries.upload(place, EMPTY, EMPTY_CONTENT)
    registries.put_manifest(place, Manifest.make(config=EMPTY, artifact_type="application/x-none"))
    found = registries.manifest(place)
    assert (found.artifact_type, found.layers) == ("application/x-none", ())


def test_a_lock_that_cannot_be_made_is_told(
    docker_registry: RegistryServer, place: Reference, subject: Pushed, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    registries = Registries((docker_registry.host,), lambda _: None, tmp_path / "taken" / "locks")
    with pytest.raises(StorageError, match="cannot be written"):
        sign(registries, place, "one")
