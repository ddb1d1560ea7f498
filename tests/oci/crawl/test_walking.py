"""Walking real registries, and ones that misbehave in a part of what they are asked."""

import json
from collections.abc import Iterator

import pytest

from fair_dagster.cli.terminal.output import json_line
from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.artifacts.forms import Layer, Packed
from fair_dagster.oci.crawl.walking import Event, FoundArtifact, Target, Walked, WalkFailure, crawl
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pushing import Part, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from tests.oci.faults import Faults, Order
from tests.oci.servers import push_as_it_is, push_image
from tests.services.servers import RegistryServer

Faulty = tuple[Registries, Reference, Faults]


def push_models(registries: Registries, place: Reference, *accuracies: float) -> list[str]:
    return [
        push(
            registries,
            place.with_tag(f"v{number}"),
            [Part(b"weights", "model.onnx")],
            ModelMetadata.of({"name": f"m{number}", "accuracy": accuracy}),
        ).digest
        for number, accuracy in enumerate(accuracies)
    ]


def run(registries: Registries, *targets: object, **options: object) -> list[Event]:
    return list(crawl(registries, [Target.parse(str(target)) for target in targets], **options))  # type: ignore[arg-type]


def repository(place: Reference) -> str:
    return f"{place.registry}/{place.repository}"


def tags(events: list[Event]) -> list[str | None]:
    return [one.reference.tag for one in events if isinstance(one, FoundArtifact)]


def _found(events: list[Event]) -> list[FoundArtifact]:
    return [one for one in events if isinstance(one, FoundArtifact)]


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("ghcr.io", "ghcr.io"),
        ("localhost:5000/", "localhost:5000"),
        ("https://ghcr.io", "ghcr.io"),
        ("ghcr.io/hotosm/ramp", "ghcr.io/hotosm/ramp"),
        ("oci://ghcr.io:443/hotosm/ramp", "ghcr.io:443/hotosm/ramp"),
        ("ghcr.io/hotosm/ramp:v1", "ghcr.io/hotosm/ramp:v1"),
        (f"ghcr.io/hotosm/ramp@sha256:{'0' * 64}", f"ghcr.io/hotosm/ramp@sha256:{'0' * 64}"),
    ],
)
def test_a_target_is_a_registry_a_repository_or_an_artifact(text: str, spelled: str) -> None:
    assert str(Target.parse(text)) == spelled


@pytest.mark.parametrize("text", ["ramp", "", "Ghcr.io/UPPER", "ghcr.io/a:b c"])
def test_what_is_none_of_these_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        Target.parse(text)


def test_every_tag_is_told_with_its_metadata_and_the_end_of_the_repository(
    registries: Registries, place: Reference
) -> None:
    digests = push_models(registries, place, 0.8, 0.9)
    events = run(registries, repository(place))
    assert isinstance(events[-1], Walked)
    found = sorted(_found(events), key=lambda one: str(one.reference))
    assert [one.digest for one in found] == digests
    assert [one.fields["customProperties"]["accuracy"] for one in found] == [0.8, 0.9]
    assert found[0].fields["tag"] == "v0"
    json.dumps(found[0].document)


def test_a_registry_is_walked_through_all_repositories(registries: Registries, place: Reference) -> None:
    push_models(registries, place, 0.8)
    other = Reference.parse(f"{repository(place)}/deeper:v1")
    push_models(registries, other, 0.7)
    events = run(registries, place.registry)
    walked = {str(one.reference.repository) for one in events if isinstance(one, Walked)}
    assert {place.repository, other.repository} <= walked
    own = repository(place)
    assert not [one for one in events if isinstance(one, WalkFailure) and one.where.startswith(own)]


def test_a_repository_that_is_listed_and_has_no_tag_is_no_failure(registries: Registries, place: Reference) -> None:
    registries.upload(place, Descriptor.of(b"a blob", "application/x-mlmodel"), b"a blob")
    events = run(registries, place.registry)
    own = repository(place)
    assert not [one for one in events if isinstance(one, WalkFailure) and one.where.startswith(own)]
    assert place.repository in {str(one.reference.repository) for one in events if isinstance(one, Walked)}
    (typed,) = run(registries, own)
    assert isinstance(typed, WalkFailure)
    assert "no such repository" in typed.problem


def test_what_cannot_be_read_hinders_nothing_else(registries: Registries, place: Reference, faulty: Faulty) -> None:
    through, behind, faults = faulty
    push_models(registries, place, 0.7, 0.8, 0.9)
    faults.orders += [Order("GET /v2/" + place.repository + "/manifests/v1", alter=lambda body: body[:-1] + b"!")]
    gone = Reference.parse(f"{behind.registry}/not/there:v1")
    events = run(through, repository(gone), gone, "127.0.0.1:9", repository(behind))
    assert sorted(filter(None, tags(events))) == ["v0", "v2"]
    failures = {one.where: one.problem for one in events if isinstance(one, WalkFailure)}
    assert failures.keys() == {repository(gone), str(gone), "127.0.0.1:9", f"{repository(behind)}:v1"}
    assert "altered" in failures[f"{repository(behind)}:v1"]
    assert all("\n" not in problem for problem in failures.values())


def test_a_registry_that_falls_silent_is_not_asked_for_the_rest(
    registries: Registries, place: Reference, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    through, behind, faults = faulty
    monkeypatch.setattr(through.client.connections, "wait", lambda *_: None)
    monkeypatch.setattr("fair_dagster.oci.crawl.walking.AHEAD", 4)
    push_models(registries, place, *[0.5] * 20)
    faults.orders += [Order("/manifests/", times=10_000, drop=True)]
    events = run(through, repository(behind))
    assert not tags(events)
    assert not [one for one in events if isinstance(one, Walked)]
    assert len(events) == 4
    assert isinstance(events[-1], WalkFailure)
    assert "the rest was left out" in events[-1].problem
    assert faults.count("/manifests/v19") == 0


def test_only_the_digest_is_asked_of_what_is_known_and_has_stayed(
    registries: Registries, place: Reference, faulty: Faulty
) -> None:
    through, behind, faults = faulty
    push_models(registries, place, 0.7, 0.8)
    first = {one.reference.tag: one for one in run(through, repository(behind)) if isinstance(one, FoundArtifact)}
    push_models(registries, place, 0.75)
    faults.seen.clear()
    second = run(through, repository(behind), known=lambda _: first)
    accuracies = sorted(one.fields["customProperties"]["accuracy"] for one in _found(second))
    assert accuracies == [0.75, 0.8]
    assert faults.count("GET") == 2  # The tags, and the manifest of what has changed.


def test_metadata_is_read_from_annotations_only_where_they_tell_all_of_it(
    registries: Registries, place: Reference, faulty: Faulty
) -> None:
    through, behind, faults = faulty
    described = ModelMetadata.of({"name": "full", "accuracy": 0.9, "nested": {"ü": [1.5, None]}})
    push(registries, place.with_tag("full"), [Part(b"weights", "model.onnx")], described)
    annotations = {"customProperties+json": '{"accuracy": 1.0}'}
    push(registries, place.with_tag("lies"), [Part(b"weights", "model.onnx")], described, annotations=annotations)
    found = {one.reference.tag: one for one in _found(run(through, repository(behind)))}
    assert found["full"].document["metadata"] == found["lies"].document["metadata"] == described.document()
    assert faults.count("/blobs/") == 1


def test_indexes_images_and_metadata_of_nobody_are_told_without_any(
    registries: Registries, place: Reference, docker_registry: RegistryServer
) -> None:
    push_image(docker_registry.url, place.repository, "image")
    push_image(docker_registry.url, place.repository, "index", index=True)
    found = sorted(_found(run(registries, repository(place))), key=lambda one: str(one.reference))
    assert [(one.reference.tag, one.document["metadata"]) for one in found] == [("image", None), ("index", None)]
    assert found[1].document["artifact_type"] is None


@pytest.mark.parametrize(
    "text",
    ['{"a": "\\ud800"}', "[" * 100_000, '{"a": ' * 900 + "1" + "}" * 900, '{"a": 1' + "0" * 5000 + "}", "{'no': json}"],
    ids=["half a character", "lists without end", "deep", "a number without end", "no JSON"],
)
def test_odd_metadata_is_its_own_problem(registries: Registries, place: Reference, text: str) -> None:
    push_models(registries, place, 0.5)
    config = Layer.of(b"{}", "application/x-other")
    odd = Manifest.make(config=config.descriptor, annotations={"name": "odd", "customProperties+json": text})
    push_as_it_is(registries, place.with_tag("odd"), Packed(odd, (config,)))
    events = run(registries, repository(place))
    assert "v0" in tags(events)
    assert {str(place.with_tag("odd"))} == {str(one.reference) for one in events if _is_about(one, "odd")}
    for one in _found(events):
        json_line(one.document)


def _is_about(event: Event, tag: str) -> bool:
    return event.reference is not None and event.reference.tag == tag


def test_a_reader_who_stops_ends_the_walk(registries: Registries, place: Reference, faulty: Faulty) -> None:
    through, behind, _ = faulty
    push_models(registries, place, *[0.5] * 5)
    second = behind.with_tag("v1")
    for targets in ([behind], [behind, second]):
        events = crawl(through, [Target.parse(repository(one)) for one in targets])
        assert isinstance(next(events), FoundArtifact)
        events.close()


class _Many(Registries):
    """A registry of very many tags, and how far it was asked beyond what was read."""

    asked = read = ahead = 0
    held = Manifest.make(config=Descriptor.of(b"{}", "application/x-other"), annotations={"name": "m"})

    def tags(self, reference: Reference, *, hidden: bool = False) -> Iterator[str]:
        yield from (f"v{number}" for number in range(10_000))

    def manifest(self, reference: Reference) -> Manifest:
        self.asked += 1
        self.ahead = max(self.ahead, self.asked - self.read)
        return self.held


def test_a_repository_of_ten_thousand_tags_is_read_through_with_few_in_hand() -> None:
    registries = _Many()
    for event in crawl(registries, [Target.parse("registry.example.org/team/image")]):
        registries.read += isinstance(event, FoundArtifact)
    assert registries.read == 10_000
    assert registries.ahead <= 150
