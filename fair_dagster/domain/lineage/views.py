"""The lineage graph as people and machines read it: a text tree, Mermaid, JSON, and Markdown for a materialization.

Pure; nothing is printed here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.lineage.graph import DEPRECATED, MISSING, PREDICTIONS, UNPUBLISHED, Lineage, Node

SHOWN = 20
"""Children of one node that are told before the rest is counted; of a child's own children a quarter of that."""
NAMED = 5
_ENTITIES = {ord(sign): f"#{ord(sign)};" for sign in '"<>&#`\\'}
_SINGULAR = {
    items.BASE_MODELS: "base model",
    items.DATASETS: "dataset",
    items.LOCAL_MODELS: "finetune",
    PREDICTIONS: "prediction",
}


def tree(graph: Lineage, root: str, limit: int | None = SHOWN) -> list[str]:
    """Lines of a tree: ``root``, what it was made from, what was made from it.

    Args:
        limit: children of a node that are shown; None shows all.
    """
    lines = [_told(graph.nodes[root])]
    if graph.parents(root):
        lines += ["made from", *_branches(graph, root, up=True, limit=None)]
    if graph.children(root):
        lines += ["used by", *_branches(graph, root, up=False, limit=limit)]
    return lines


def _branches(graph: Lineage, root: str, *, up: bool, limit: int | None) -> list[str]:
    """Depth first, with a stack: a chain made by hand may be longer than Python's own. Nodes are opened once."""
    lines: list[str] = []
    opened: set[str] = set()
    # Entries are nodes with their place, or a line that counts what is left out.
    stack: list[tuple[Node | str, str, bool, str]] = [(graph.nodes[root], "", True, "")]
    while stack:
        node, margin, last, below = stack.pop()
        if lines or opened:
            mark = "└─ " if last else "├─ "
            lines.append(f"{margin}{mark}{node if isinstance(node, str) else _line(graph, node, below, opened)}")
        if isinstance(node, str) or node.key in opened:
            continue
        inner = margin + ("" if not opened else "   " if last else "│  ")
        found = graph.parents(node.key) if up else graph.children(node.key)
        most = limit if limit is None or not opened else max(1, limit // 4)
        opened.add(node.key)
        shown: list[Node | str] = [*found[:most]]
        if len(found) > len(shown):
            shown.append(f"… and {_counted(found[len(shown) :])}; --all shows them")
        entries = [(entry, inner, index == len(shown) - 1, node.key) for index, entry in enumerate(shown)]
        stack += reversed(entries)
    return lines


def _line(graph: Lineage, node: Node, below: str, opened: set[str]) -> str:
    others = [parent.label for parent in graph.parents(node.key) if parent.key != below and parent.key not in opened]
    is_child = any(parent.key == below for parent in graph.parents(node.key))
    beside = f", with {', '.join(others)}" if others and is_child else ""
    again = " (told above)" if node.key in opened else ""
    return _told(node) + beside + again


def _told(node: Node) -> str:
    if node.collection == PREDICTIONS:
        return f"prediction {node.id} ({node.state})"
    return f"{node.collection}/{node.id} ({', '.join(_remarks(node))})"


def _remarks(node: Node) -> list[str]:
    remarks = [f"version {node.version}"] if node.version else []
    remarks.append({UNPUBLISHED: "not published", MISSING: "not there"}.get(node.state, node.state))
    remarks += [node.stage] if node.stage and node.stage != "none" else []
    return remarks + [f"stale: there is {newer}" for newer in node.newer]


def _counted(nodes: Sequence[Node]) -> str:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.collection] = counts.get(node.collection, 0) + 1
    named = {name: _SINGULAR.get(name, name) for name in counts}
    return ", ".join(f"{count:,} {named[name]}{'s' if count > 1 else ''}" for name, count in counts.items())


def mermaid(graph: Lineage, roots: Iterable[str], limit: int | None = SHOWN) -> str:
    """A Mermaid flowchart; an arrow points from a child to what it was made from.

    https://mermaid.js.org/syntax/flowchart.html: nodes get names of our own, and labels entity codes, since an id may
    hold what Mermaid reads as syntax.
    """
    chosen = set(roots)
    kept, counts = _limited(graph, limit)
    names = {key: f"n{index}" for index, key in enumerate(kept)}
    lines = ["flowchart RL"]
    for key in kept:
        node = graph.nodes[key]
        text = "<br/>".join(part.translate(_ENTITIES) for part in (node.collection, node.label, *_states(node)))
        css = ":::root" if key in chosen else f":::{node.state}" if node.state in (DEPRECATED, MISSING) else ""
        lines.append(f'  {names[key]}["{text}"]{css}')
    lines += [
        f"  {names[edge.source]} -->|{edge.relation}| {names[edge.target]}"
        for edge in graph.edges
        if edge.source in names and edge.target in names
    ]
    for index, (key, text) in enumerate(counts.items()):
        lines.append(f'  more{index}["… and {text}"] -.-> {names[key]}')
    styles = ("root stroke-width:3px", "deprecated stroke-dasharray:4", "missing stroke:#c00,stroke-dasharray:2")
    return "\n".join([*lines, *(f"  classDef {style}" for style in styles)]) + "\n"


def _states(node: Node) -> list[str]:
    return [remark for remark in _remarks(node) if not remark.startswith("version ")]


def _limited(graph: Lineage, limit: int | None) -> tuple[list[str], dict[str, str]]:
    """The keys that are drawn, and what is left out below each."""
    left_out: set[str] = set()
    counts = {}
    for key in graph.nodes:
        rest = [] if limit is None else graph.children(key)[limit:]
        if rest:
            counts[key] = _counted(rest)
            left_out |= {node.key for node in rest}
    # What hangs only on what is left out goes with it.
    kept = [key for key in graph.nodes if key not in left_out]
    known = set(kept)
    while orphans := {
        key for key in known if (parents := graph.parents(key)) and not any(parent.key in known for parent in parents)
    }:
        known -= orphans
    return [key for key in kept if key in known], {key: text for key, text in counts.items() if key in known}


def document(graph: Lineage, roots: Iterable[str]) -> dict[str, Any]:
    """Everything, for machines: roots, nodes and edges by key."""
    return {
        "roots": list(roots),
        "nodes": [
            {
                "key": node.key,
                "collection": node.collection,
                "id": node.id,
                "version": node.version or None,
                "state": node.state,
                "stage": node.stage,
                "newer": list(node.newer),
            }
            for node in graph.nodes.values()
        ],
        "edges": [{"source": edge.source, "relation": edge.relation, "target": edge.target} for edge in graph.edges],
    }


def markdown(graph: Lineage, key: str) -> str:
    """The lineage of one node as lists, which the Dagster UI renders; it does not draw Mermaid."""
    parents, children = graph.parents(key), graph.children(key)
    lines = [f"- {_bold(parent)}" for parent in parents] or ["- no parents: contributed"]
    lines.append(f"- → {_bold(graph.nodes[key])}")
    if children:
        named = ", ".join(child.label for child in children[:NAMED])
        more = f" and {len(children) - NAMED:,} more" if len(children) > NAMED else ""
        lines.append(f"  - used by {_counted(children)}: {named}{more}")
    return "\n".join(lines)


def _bold(node: Node) -> str:
    return f"`{node.collection}` **{node.id}** ({', '.join(_remarks(node))})"


def made_from(parents: Mapping[tuple[str, str], str]) -> str:
    """Markdown of what something is made from, where no item tells more: versions by collection and slug."""
    return "\n".join(
        f"- `{collection}` **{slug}** (version {version})" for (collection, slug), version in parents.items()
    )
