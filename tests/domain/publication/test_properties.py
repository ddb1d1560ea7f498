"""Whatever happens to a family in whatever order, its published items are whole. Found by search, not by example."""

from dataclasses import replace
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fair_dagster.domain.items.links import LATEST, PREDECESSOR, SUCCESSOR, targets
from fair_dagster.domain.items.patches import apply_patch
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import (
    Family,
    desired_items,
    local_family,
    release_family,
    relink_parents,
    retired_family,
)
from fair_dagster.domain.publication.drift import diff
from fair_dagster.domain.publication.promoted_items import local_item
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import VersionRecord
from tests.factories import KNOWLEDGE, base_model, dataset, version

Catalog = dict[ItemKey, Item]


def applied(catalog: Catalog, changes: ChangeSet) -> Catalog:
    result = dict(catalog)
    for change in changes.changes:
        if change.item is None:
            del result[change.key]
        else:
            result[change.key] = change.item
    return result


def assert_chain(items: list[Item]) -> None:
    """At most one active item, and predecessor/successor links that pass every item once."""
    ids = {ItemKey(item["collection"], item["id"]) for item in items}
    assert sum(not item["properties"]["deprecated"] for item in items) <= 1
    for item in items:
        for rel in (PREDECESSOR, SUCCESSOR, LATEST):
            found = targets(item["links"], rel)
            assert len(found) <= 1
            assert set(found) <= ids
    heads = [item for item in items if not targets(item["links"], PREDECESSOR)]
    assert len(heads) == min(1, len(items))
    by_key = {ItemKey(item["collection"], item["id"]): item for item in items}
    seen, current = [], heads[0] if heads else None
    while current is not None:
        seen.append(current["id"])
        following = targets(current["links"], SUCCESSOR)
        if following:
            back = targets(by_key[following[0]]["links"], PREDECESSOR)
            assert back == [ItemKey(current["collection"], current["id"])]
        current = by_key[following[0]] if following else None
    assert sorted(seen) == sorted(item["id"] for item in items)
    last = next((item for item in items if item["id"] == seen[-1]), None) if seen else None
    assert all(item["id"] == seen[-1] for item in items if not item["properties"]["deprecated"])
    if last is not None:
        assert not targets(last["links"], LATEST)


class LocalModels(RuleBasedStateMachine):
    """A ZenML model under any sequence of stage changes, deletions, number reuse and user patches."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[int, VersionRecord] = {}
        self.catalog: Catalog = {}
        self.patches: dict[str, dict[str, object]] = {}
        self.born = 0

    def published(self) -> list[Item]:
        return list(self.catalog.values())

    def family(self) -> Family:
        def content(record: VersionRecord) -> Item:
            request = FinetuneRequest.of(record)
            assert request is not None
            return local_item(record, request, base_model(), dataset(), {}, knowledge=KNOWLEDGE)

        return local_family("ramp-nepal", list(self.versions.values()), self.published(), content)

    def recompute(self) -> None:
        self.catalog = applied(self.catalog, diff(self.published(), desired_items(self.family())))

    @rule()
    def finetune(self) -> None:
        number = max(self.versions, default=0) + 1
        self.born += 1
        self.versions[number] = version(number, uuid=str(UUID(int=self.born)))

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), recompute=st.booleans())
    def promote(self, data: st.DataObject, recompute: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.versions)))
        for other, record in self.versions.items():
            if record.stage == "production":
                self.versions[other] = replace(record, stage="archived")
        self.versions[number] = replace(self.versions[number], stage="production")
        if recompute:
            self.recompute()
            assert self.catalog[ItemKey("local-models", f"ramp-nepal-v{number}")]["properties"]["deprecated"] is False

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), stage=st.sampled_from(["archived", "none", "staging"]))
    def demote(self, data: st.DataObject, stage: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.versions)))
        self.versions[number] = replace(self.versions[number], stage=stage)
        self.recompute()

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.versions)))
        gone = self.versions.pop(number)
        self.recompute()
        assert all(i["properties"]["fair:zenml_version_id"] != gone.uuid for i in self.published())
        self.patches.pop(gone.uuid, None)

    @precondition(lambda self: self.versions)
    @rule()
    def replace_highest(self) -> None:
        """ZenML hands the number of a deleted version to the next one; both are in production in their time."""
        stage = self.versions.pop(max(self.versions)).stage
        self.finetune()
        number = max(self.versions)
        self.versions[number] = replace(self.versions[number], stage=stage)

    @precondition(lambda self: self.catalog)
    @rule(data=st.data(), title=st.text(min_size=1, max_size=8), pinned=st.booleans())
    def patch(self, data: st.DataObject, title: str, pinned: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.catalog, key=str)))
        change = {
            "properties": {"title": title, "fair:pinned": pinned},
            "assets": {"thumbnail": {"href": "https://example.org/t.png"}},
            "links": [{"rel": "about", "href": "https://example.org"}],
        }
        self.catalog[key] = apply_patch(self.catalog[key], change)
        self.patches[self.catalog[key]["properties"]["fair:zenml_version_id"]] = change

    @invariant()
    def whole(self) -> None:
        self.recompute()
        assert_chain(self.published())
        assert not diff(self.published(), desired_items(self.family()))
        production = {v.uuid for v in self.versions.values() if v.stage == "production"}
        active = {
            i["properties"]["fair:zenml_version_id"] for i in self.published() if not i["properties"]["deprecated"]
        }
        assert active == production

    @invariant()
    def patches_survive(self) -> None:
        for item in self.published():
            change = self.patches.get(item["properties"]["fair:zenml_version_id"])
            if change is None:
                assert "fair:pinned" not in item["properties"]
                continue
            assert change["properties"].items() <= item["properties"].items()  # type: ignore[union-attr]
            assert item["assets"]["thumbnail"] == {"href": "https://example.org/t.png"}
            assert {"rel": "about", "href": "https://example.org"} in item["links"]


class BaseModels(RuleBasedStateMachine):
    """A contributed folder under any sequence of new contents, reverts, retirements and patches, with a child."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog: Catalog = {}
        self.title: str | None = None
        self.titles: dict[str, str] = {}
        self.content = ""
        self.number_of_content: dict[str, int] = {}
        request = FinetuneRequest.of(version())
        assert request is not None
        self.child = local_item(version(), request, base_model(), dataset(), {}, knowledge=KNOWLEDGE)

    def published(self) -> list[Item]:
        return list(self.catalog.values())

    def apply(self, family: Family) -> None:
        desired = desired_items(family)
        self.catalog = applied(self.catalog, diff(self.published(), desired))
        assert not diff(self.published(), desired_items(release_family("base-models", "ramp", self.published())))
        self.child = relink_parents([self.child], {("base-models", "ramp"): self.published()})[0]

    @rule(content=st.sampled_from("abcd"))
    def register(self, content: str) -> None:
        incoming = base_model(**{"fair:content": content})
        # What was patched on that content before comes back; otherwise the patch of the active version moves along.
        self.title = self.titles.get(content, self.title)
        if self.title is not None:
            self.titles[content] = self.title
        self.content = content
        self.apply(release_family("base-models", "ramp", self.published(), incoming, uid=content))
        active = self.catalog[ItemKey("base-models", "ramp")]
        assert active["properties"]["fair:content"] == content
        number = int(active["properties"]["version"])
        assert self.number_of_content.setdefault(content, number) == number

    @precondition(lambda self: self.catalog)
    @rule()
    def retire(self) -> None:
        self.apply(retired_family("base-models", "ramp", self.published()))
        self.title = None
        assert all(item["properties"]["deprecated"] for item in self.published())

    @precondition(lambda self: ItemKey("base-models", "ramp") in self.catalog)
    @rule(title=st.text(min_size=1, max_size=8))
    def patch(self, title: str) -> None:
        key = ItemKey("base-models", "ramp")
        self.catalog[key] = apply_patch(self.catalog[key], {"properties": {"title": title}})
        self.title = self.titles[self.content] = title

    @invariant()
    def whole(self) -> None:
        assert_chain(self.published())
        active = self.catalog.get(ItemKey("base-models", "ramp"))
        if active is not None and self.title is not None:
            assert active["properties"]["title"] == self.title

    @invariant()
    def child_points_at_the_version_it_was_made_from(self) -> None:
        if not self.catalog:
            return
        parents = [key for key in targets(self.child["links"], "derived_from") if key.collection == "base-models"]
        assert [self.catalog[key]["properties"]["version"] for key in parents] == ["1"]


TestLocalModels = LocalModels.TestCase
TestBaseModels = BaseModels.TestCase
TestLocalModels.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestBaseModels.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
