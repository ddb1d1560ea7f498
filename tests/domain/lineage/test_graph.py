"""The lineage graph: exact versions, what is not published or not there, cycles, large families, and its forms."""

import re
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.items.links import DERIVED_FROM, link_to
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.lineage.graph import MISSING, Lineage, PredictionNode, lineage
from fair_dagster.domain.lineage.staleness import stale_models
from fair_dagster.domain.lineage.views import document, markdown, mermaid, tree
from tests.factories import base_model, dataset, version

RAMP = "base-models/ramp"


def local(name: str = "ramp-nepal", number: int = 1, base: int = 1, data: int = 1, **properties: Any) -> Item:
    said = {
        "mlm:name": name,
        "fair:base_model": "ramp",
        "fair:base_model_version": str(base),
        "fair:dataset": "banepa",
        "fair:dataset_version": str(data),
        items.ZENML_UID: f"uuid-{name}-{number}",
    }
    links = [
        link_to(DERIVED_FROM, ItemKey(items.BASE_MODELS, "ramp")),
        link_to(DERIVED_FROM, ItemKey(items.DATASETS, "banepa")),
    ]
    item = base_model(name, number, **said, **properties)
    return item | {"id": f"{name}-v{number}", "collection": items.LOCAL_MODELS, "links": links}


def former(item: Item) -> Item:
    """The item as it is called when another version has taken over the slug."""
    number = item["properties"]["version"]
    return item | {"id": f"{item['id']}-v{number}", "properties": item["properties"] | {"deprecated": True}}


def family() -> list[Item]:
    """Base model ramp: version 1 former, version 2 active; a dataset; a model of either version."""
    return [former(base_model()), base_model(number=2), dataset(), local(number=1, base=1), local(number=2, base=2)]


def parents(graph: Lineage, key: str) -> list[str]:
    return [node.key for node in graph.parents(key)]


def test_the_exact_version_is_the_parent_whatever_its_id_is_now() -> None:
    graph = lineage(family())
    assert parents(graph, "local-models/ramp-nepal-v1") == ["base-models/ramp-v1", "datasets/banepa"]
    assert parents(graph, "local-models/ramp-nepal-v2") == [RAMP, "datasets/banepa"]
    assert graph.nodes["base-models/ramp-v1"].state == "deprecated"
    assert [child.id for child in graph.children(RAMP)] == ["ramp-nepal-v2"]


def test_a_version_that_was_never_promoted_is_told_from_its_request() -> None:
    graph = lineage(family(), [version(3, "staging")])
    node = graph.nodes["local-models/ramp-nepal-v3"]
    assert (node.state, node.stage) == ("unpublished", "staging")
    assert parents(graph, node.key) == ["base-models/ramp-v1", "datasets/banepa"]


def test_a_published_version_is_one_node_and_knows_its_stage() -> None:
    graph = lineage(family(), [version(2, "production")])
    assert graph.nodes["local-models/ramp-nepal-v2"].stage == "production"
    assert len(graph.nodes) == 5


def test_a_version_with_the_number_of_a_deleted_one_is_another_node() -> None:
    graph = lineage(family(), [version(2, uuid="another")])
    assert graph.nodes["local-models/ramp-nepal-v2"].state == "active"
    assert graph.nodes["local-models/ramp-nepal-v2#another"].state == "unpublished"


def test_a_prediction_hangs_on_the_version_that_it_used() -> None:
    published = family()
    for item in published[:2]:
        item["properties"]["fair:digest"] = f"sha256:{item['properties']['version']}"
    then_called_ramp = PredictionNode("/p/1.geojson", ItemKey("base-models", "ramp"), "1", "sha256:1")
    deleted = PredictionNode("/p/2.geojson", ItemKey("local-models", "ramp-nepal-v1"), "1", "uuid-of-a-deleted-one")
    graph = lineage(published, (), [then_called_ramp, deleted])
    assert parents(graph, "predictions//p/1.geojson") == ["base-models/ramp-v1"]
    (model,) = graph.parents("predictions//p/2.geojson")
    assert (model.id, model.state) == ("ramp-nepal-v1", MISSING)


def test_a_prediction_without_version_is_known_by_its_onnx_file() -> None:
    published = family()
    published[0]["assets"] = {"model": {"href": "/a/first.onnx", "roles": ["mlm:model"]}}
    prediction = PredictionNode("/p/1.geojson", ItemKey("local-models", "ramp"), model_uri="/a/first.onnx")
    assert parents(lineage(published, (), [prediction]), "predictions//p/1.geojson") == ["base-models/ramp-v1"]


def test_a_parent_that_is_gone_is_a_node_that_is_missing() -> None:
    graph = lineage([local(base=7)])
    assert [(node.id, node.state) for node in graph.parents("local-models/ramp-nepal-v1")] == [
        ("ramp-v7", MISSING),
        ("banepa-v1", MISSING),
    ]
    assert "base-models/ramp-v7 (version 7, not there)" in "\n".join(tree(graph, "local-models/ramp-nepal-v1"))


def test_a_cycle_made_by_hand_ends() -> None:
    one, other = base_model("one"), base_model("other")
    one["links"] = [link_to(DERIVED_FROM, ItemKey("base-models", "other"))]
    other["links"] = [link_to(DERIVED_FROM, ItemKey("base-models", "one"))]
    graph = lineage([one, other]).around(["base-models/one"])
    assert any("told above" in line for line in tree(graph, "base-models/one"))
    assert mermaid(graph, ["base-models/one"]).count("derived_from") == 2
    assert len(document(graph, ["base-models/one"])["edges"]) == 2


def test_a_chain_longer_than_the_stack_of_python_is_told() -> None:
    chain = [base_model(f"m{index}") for index in range(3_000)]
    for index, item in enumerate(chain[1:]):
        item["links"] = [link_to(DERIVED_FROM, ItemKey("base-models", f"m{index}"))]
    assert len(tree(lineage(chain), "base-models/m0", None)) == 3_001


def test_only_relatives_are_kept() -> None:
    stranger = base_model("stranger")
    graph = lineage([*family(), stranger]).around(["local-models/ramp-nepal-v1"])
    assert set(graph.nodes) == {"local-models/ramp-nepal-v1", "base-models/ramp-v1", "datasets/banepa"}


def test_the_tree_shows_parents_children_and_what_they_were_made_with() -> None:
    graph = lineage(family(), [version(3)], [PredictionNode("/p.geojson", ItemKey("local-models", "ramp-nepal-v1"))])
    assert tree(graph, "base-models/ramp-v1") == [
        "base-models/ramp-v1 (version 1, deprecated)",
        "used by",
        "├─ local-models/ramp-nepal-v1 (version 1, active, stale: there is ramp v2), with banepa v1",
        "│  └─ prediction /p.geojson (completed)",
        "└─ local-models/ramp-nepal-v3 (version 3, not published, stale: there is ramp v2), with banepa v1",
    ]
    assert tree(graph, "local-models/ramp-nepal-v2")[1:] == [
        "made from",
        "├─ base-models/ramp (version 2, active)",
        "└─ datasets/banepa (version 1, active)",
    ]


def test_a_family_of_a_thousand_stays_readable_and_can_be_had_whole() -> None:
    graph = lineage([base_model(), dataset(), *(local(f"m{number:04}") for number in range(1_000))])
    lines = tree(graph, RAMP)
    assert len(lines) == 23
    assert lines[-1] == "└─ … and 980 finetunes; --all shows them"
    assert len(tree(graph, RAMP, None)) == 1_002
    drawn = mermaid(graph, [RAMP])
    assert "… and 980 finetunes" in drawn
    assert len(drawn.splitlines()) < 80
    assert len(mermaid(graph, [RAMP], None).splitlines()) > 3_000


def test_mermaid_reads_no_label_as_syntax() -> None:
    output = '/p/a "b" <c> #1 `x`; end.geojson'
    drawn = mermaid(lineage(family(), (), [PredictionNode(output, ItemKey("local-models", "ramp-nepal-v2"))]), [RAMP])
    (line,) = [line for line in drawn.splitlines() if "geojson" in line]
    label = re.fullmatch(r'  n\d+\["(?P<text>.*)"\]', line)
    assert label is not None
    assert not set('"`') & set(label["text"])
    assert set(re.findall(r"<[^>]*>", label["text"])) == {"<br/>"}
    assert "#34;b#34;" in label["text"]


def test_a_materialization_counts_children_and_names_the_first() -> None:
    graph = lineage([base_model(), dataset(), *(local(f"m{number:04}") for number in range(1_000))])
    text = markdown(graph, RAMP)
    assert "used by 1,000 finetunes: m0000-v1, m0001-v1, m0002-v1, m0003-v1, m0004-v1 and 995 more" in text
    assert "- `base-models` **ramp** (version 1, active)" in markdown(graph, "local-models/m0000-v1")


def test_a_model_is_stale_when_another_version_of_a_parent_is_active() -> None:
    newer_data = [former(dataset()), dataset(number=2, updated="2026-03-01T00:00:00Z")]
    published = [former(base_model()), base_model(number=2), *newer_data, local(number=1, base=1, data=2)]
    published += [local("fresh", base=2, data=2), local("old-data", base=2, data=1)]
    published += [local("retired", base=1, data=1, deprecated=True)]
    found = [
        (stale.model, stale.made_from, f"{stale.newest.slug} v{stale.newest.version}")
        for stale in stale_models(published)
    ]
    assert found == [("old-data-v1", "banepa v1", "banepa v2"), ("ramp-nepal-v1", "ramp v1", "ramp v2")]
    assert stale_models(published)[0].newest.since == "2026-03-01T00:00:00Z"


def test_a_rollback_makes_the_models_of_the_later_version_stale() -> None:
    rolled_back = [
        base_model(),
        former(base_model(number=2)),
        dataset(),
        local(number=1, base=1),
        local(number=2, base=2),
    ]
    assert [stale.model for stale in stale_models(rolled_back)] == ["ramp-nepal-v2"]


def test_a_parent_that_was_retired_without_successor_makes_nobody_stale() -> None:
    assert stale_models([former(base_model()), dataset(), local()]) == []
