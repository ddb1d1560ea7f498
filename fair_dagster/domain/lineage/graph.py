"""Where a model comes from and what came of it: a graph of items, versions in ZenML and predictions.

Pure: records become nodes and edges. What the graph looks like to people stands in ``lineage_views``; whether a newer
parent exists, in ``staleness``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from fair_dagster.domain import items
from fair_dagster.domain.items.links import DERIVED_FROM, targets
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.lineage.staleness import Newest, find_superseded, newest_releases, parents_of
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.slugs import split_version_id, version_id
from fair_dagster.domain.versions import VersionRecord

PREDICTIONS = "predictions"
PREDICTED_BY = "predicted_by"

ACTIVE, DEPRECATED, UNPUBLISHED, MISSING = "active", "deprecated", "unpublished", "missing"


@dataclass(frozen=True)
class PredictionNode:
    """What is kept of one prediction.

    Attributes:
        output: the GeoJSON file.
        model: the item as it was called then; the id of a base model moves.
        version, uid: its exact version, and the identity behind it: ZenML's UUID or the digest of its content.
        model_uri: its ONNX file, which tells the version where none was kept.
        state: ``completed``, ``failed``, ``not finished``, or ``gone`` when the file is not there any more.
    """

    output: str
    model: ItemKey
    version: str = ""
    uid: str = ""
    model_uri: str = ""
    state: str = "completed"


@dataclass(frozen=True)
class Node:
    """One thing of the graph.

    Attributes:
        key: its identity in this graph.
        id: item id, version id, or the file of a prediction.
        state: ``active``, ``deprecated``, ``unpublished`` (in ZenML only), ``missing`` (named, and not there), or how a
            prediction ended.
        stage: ZenML's, where it was read.
        newer: parents of which a newer version exists, e.g. ``ramp v2``.
    """

    key: str
    collection: str
    id: str
    version: str
    state: str
    stage: str | None = None
    newer: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name with its version, which is the same whoever holds the plain slug now."""
        if self.collection == PREDICTIONS:
            return self.id
        slug, number = split_version_id(self.id)
        return self.id if number is not None or not self.version else f"{slug} v{self.version}"


@dataclass(frozen=True)
class Edge:
    """``source`` is ``relation`` (``derived_from``, ``predicted_by``) ``target``."""

    source: str
    relation: str
    target: str


@dataclass(frozen=True)
class Lineage:
    """Nodes by key, and edges from child to parent. Made by hand it may hold cycles."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()

    @cached_property
    def _parents(self) -> Mapping[str, Sequence[str]]:
        return _grouped((edge.source, edge.target) for edge in self.edges)

    @cached_property
    def _children(self) -> Mapping[str, Sequence[str]]:
        return _grouped((edge.target, edge.source) for edge in self.edges)

    def parents(self, key: str) -> list[Node]:
        return [self.nodes[parent] for parent in self._parents.get(key, ())]

    def children(self, key: str) -> list[Node]:
        """Active ones first, then unpublished, then the others; by id, versions in order of their number."""
        return sorted((self.nodes[child] for child in self._children.get(key, ())), key=_order)

    def around(self, roots: Iterable[str]) -> "Lineage":
        """Only the ancestors and descendants of ``roots``, and what the descendants were made from besides."""
        chosen = list(roots)
        kept = _reached(chosen, self._parents) | (below := _reached(chosen, self._children))
        kept |= {parent for key in below for parent in self._parents.get(key, ())}
        return Lineage(
            {key: node for key, node in self.nodes.items() if key in kept},
            tuple(edge for edge in self.edges if edge.source in kept and edge.target in kept),
        )


def lineage(
    published: Iterable[Item], versions: Iterable[VersionRecord] = (), predictions: Iterable[PredictionNode] = ()
) -> Lineage:
    """The graph of ``published`` items of all collections, of ZenML ``versions`` and of ``predictions``.

    A parent is named by slug and version where those were kept, since ids of base models and datasets move, otherwise
    by its link. What is named and not there becomes a node that is ``missing``.
    """
    graph = _Graph(list(published))
    for item in graph.published:
        graph.add_item(item)
    for version in versions:
        graph.add_version(version)
    for prediction in predictions:
        graph.add_prediction(prediction)
    return Lineage(graph.nodes, tuple(dict.fromkeys(graph.edges)))


class _Graph:
    """The graph while it is being put together."""

    def __init__(self, published: Sequence[Item]) -> None:
        self.published = published
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self._newest: Mapping[tuple[str, str], Newest] = newest_releases(published)
        self._by_version: dict[tuple[str, str, str], str] = {}
        self._by_uid: dict[tuple[str, str, str], str] = {}
        self._by_model: dict[str, str] = {}
        for item in published:
            self._index(item)

    def _index(self, item: Item) -> None:
        properties, collection = item["properties"], item["collection"]
        key, slug = str(ItemKey(collection, item["id"])), split_version_id(item["id"])[0]
        version = str(properties.get("version", ""))
        self._by_version[collection, slug, version] = key
        if uid := properties.get(items.ZENML_UID) or properties.get(items.UID):
            self._by_uid[collection, slug, str(uid)] = key
        if onnx := items.onnx_asset(item):
            self._by_model.setdefault(str(onnx[1].get("href")), key)
        state = ACTIVE if items.is_active(item) else DEPRECATED
        self.nodes[key] = Node(key, collection, item["id"], version, state)

    def add_item(self, item: Item) -> None:
        key, parents = str(ItemKey(item["collection"], item["id"])), parents_of(item)
        for (collection, slug), version in parents.items():
            self._derive(key, self._exact(collection, slug, version))
        told = {collection for collection, _ in parents}
        for target in targets(item.get("links", []), DERIVED_FROM):
            if target.collection not in told:
                self._derive(key, self._linked(target))
        self._mark(key, parents)

    def add_version(self, version: VersionRecord) -> None:
        key = self._by_uid.get((items.LOCAL_MODELS, version.name, version.uuid))
        if key is not None:
            self.nodes[key] = replace(self.nodes[key], stage=version.stage)
            return
        key = str(ItemKey(items.LOCAL_MODELS, version.id))
        if key in self.nodes:
            # ZenML gave the number of a deleted version to this one, and the item of the former is still there.
            key = f"{key}#{version.uuid}"
        self.nodes[key] = Node(key, items.LOCAL_MODELS, version.id, str(version.number), UNPUBLISHED, version.stage)
        request = FinetuneRequest.of(version)
        if request is not None:
            parents = {
                (items.BASE_MODELS, request.base_model): str(request.base_model_version),
                (items.DATASETS, request.dataset): str(request.dataset_version),
            }
            for (collection, slug), number in parents.items():
                self._derive(key, self._exact(collection, slug, number))
            self._mark(key, parents)

    def add_prediction(self, prediction: PredictionNode) -> None:
        key = f"{PREDICTIONS}/{prediction.output}"
        self.nodes[key] = Node(key, PREDICTIONS, prediction.output, "", prediction.state)
        self.edges.append(Edge(key, PREDICTED_BY, self._model_of(prediction)))

    def _model_of(self, prediction: PredictionNode) -> str:
        slug = split_version_id(prediction.model.id)[0]
        if prediction.uid:
            found = self._by_uid.get((prediction.model.collection, slug, prediction.uid))
            return found or self._missing(prediction.model.collection, slug, prediction.version)
        return self._by_model.get(prediction.model_uri) or self._linked(prediction.model)

    def _derive(self, child: str, parent: str) -> None:
        self.edges.append(Edge(child, DERIVED_FROM, parent))

    def _mark(self, key: str, parents: Mapping[tuple[str, str], str]) -> None:
        if self.nodes[key].state != DEPRECATED:
            newer = tuple(f"{n.slug} v{n.version}" for n in find_superseded(parents, self._newest))
            self.nodes[key] = replace(self.nodes[key], newer=newer)

    def _exact(self, collection: str, slug: str, version: str) -> str:
        return self._by_version.get((collection, slug, version)) or self._missing(collection, slug, version)

    def _linked(self, target: ItemKey) -> str:
        if str(target) not in self.nodes:
            slug, number = split_version_id(target.id)
            return self._missing(target.collection, slug, "" if number is None else str(number))
        return str(target)

    def _missing(self, collection: str, slug: str, version: str) -> str:
        number = items.number_in(version)
        item_id = slug if number is None else version_id(slug, number)
        key = f"{collection}/{item_id}#missing"
        self.nodes.setdefault(key, Node(key, collection, item_id, version, MISSING))
        return key


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one, other in pairs:
        found.setdefault(one, []).append(other)
    return found


def _reached(roots: Iterable[str], neighbours: Mapping[str, Sequence[str]]) -> set[str]:
    reached, open_ends = set(roots), list(roots)
    while open_ends:
        fresh = set(neighbours.get(open_ends.pop(), ())) - reached
        reached |= fresh
        open_ends += fresh
    return reached


def _order(node: Node) -> tuple[int, str, int]:
    slug, number = split_version_id(node.id)
    first = (ACTIVE, UNPUBLISHED).index(node.state) if node.state in (ACTIVE, UNPUBLISHED) else 2
    return first, slug, number or 0
