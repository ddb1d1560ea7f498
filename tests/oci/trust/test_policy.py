"""The shipped policies by cases in data, and what makes a policy allow nothing."""

from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.trust.gatekeeper import constraint_documents, constraint_yaml
from fair_dagster.oci.trust.policy import SHIPPED, Policy, Shipped, read_resources, settings_of

DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
NAMES = {
    "DIGEST": DIGEST,
    "GOOD": f"reg.example/models/town@{DIGEST}",
    "UNSIGNED": f"reg.example/models/town@{OTHER}",
    "FOREIGN": f"foreign.example/models/town@{DIGEST}",
    "EXACT": f"exact.example/town@{DIGEST}",
    "RUNTIME": f"runtimes.example/kserve/onnx@{OTHER}",
}
MORE = {
    "fair_policy": {
        "runtime_registries": ["runtimes.example/kserve/"],
        "urls": ["http://otel.svc:4317/"],
        "ignored_kinds": ["ConfigMap"],
        "require_provenance": True,
    }
}
DATA = settings_of(["reg.example/models", "exact.example/town/"], [DIGEST], MORE)


def cases(name: str) -> list[Any]:
    text = (Path(__file__).parent / "policies" / f"{name}.yaml").read_text()
    found = yaml.safe_load(Template(text).substitute(NAMES))
    return [pytest.param(name, one, id=f"{name}: {one['name']}") for one in found]


@pytest.mark.parametrize(("name", "case"), [one for name in SHIPPED for one in cases(name)])
def test_a_policy_decides_as_its_cases_say(name: Shipped, case: dict[str, Any]) -> None:
    denials = Policy.shipped(name).denials(case["document"], DATA)
    expected = case.get("denied", [])
    unmet = [part for part in expected if not any(part in denial for denial in denials)]
    unexpected = [denial for denial in denials if not any(part in denial for part in expected)]
    assert (unmet, unexpected) == ([], [])


@pytest.mark.parametrize("name", SHIPPED)
def test_without_settings_nothing_is_allowed(name: Shipped) -> None:
    good = next(one.values[1] for one in cases(name) if not one.values[1].get("denied"))
    assert Policy.shipped(name).denials(good["document"], {})


def test_what_is_denied_is_a_violation_for_gatekeeper_and_not_allowed_for_opa() -> None:
    policy = Policy.shipped("kserve")
    bad = {"kind": "Pod", "spec": {"containers": [{"image": "nginx"}]}}
    assert policy.ask("violation", bad, DATA) == [{"msg": one} for one in policy.denials(bad, DATA)] != []
    good = {"kind": "Pod", "spec": {"containers": [{"image": NAMES["GOOD"]}]}}
    told = Policy("told", f"{policy.source}\ntold contains allow\n", policy.package)
    assert [told.ask("told", one, DATA) for one in (bad, good)] == [[False], [True]]


def test_only_what_would_be_allowed_is_looked_up() -> None:
    """A manifest must not make us ask any server that it likes."""
    document = {
        "kind": "Pod",
        "spec": {
            "containers": [{"image": NAMES[one]} for one in ("UNSIGNED", "FOREIGN")],
            "x": f"oci://{NAMES['GOOD']}",
        },
    }
    found = Policy.shipped("kserve").ask("references", document, settings_of(["reg.example/models"], []))
    assert sorted(found) == sorted([NAMES["GOOD"], NAMES["UNSIGNED"]])


@pytest.mark.parametrize("text", ['quo"te', "back\\slash", "new\nline", "ünïcode €", "uni\\u0041", "{{ x }}"])
def test_what_a_manifest_says_comes_back_as_it_was(text: str) -> None:
    document = {"kind": "Pod", "spec": {"x": f"s3://{text}"}}
    (denial,) = Policy.shipped("kserve").denials(document, DATA)
    assert f"s3://{text}" in denial


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("package team\n\ndeny contains msg if {", "cannot be evaluated"),
        ("package team\n\nallow := true\n", "has no rule deny"),
        ("package team\n\nimport rego.v1\n\ndeny := false\n", "allows nothing|nothing is allowed"),
        ('package team\n\nimport rego.v1\n\ndeny contains m if { m := to_number("x") }\n', "allows nothing|evaluated"),
        ("allow := true\n", "names no package"),
    ],
)
def test_a_broken_policy_allows_nothing(tmp_path: Path, source: str, reason: str) -> None:
    path = tmp_path / "team.rego"
    path.write_text(source)
    with pytest.raises(RefusedError, match=reason):
        Policy.read(path).denials({"kind": "Pod"}, DATA)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no resource"),
        (b"---\n---\n", "holds no resource"),
        (b"[1, 2]", "document 1 is no object"),
        (b"kind: Pod\n---\nspec: {}\n", "document 2 has no kind"),
        (b"kind: [Pod]\n", "has no kind"),
        (b"a: b: c", "neither YAML nor JSON"),
        (b"\xff\xfe\x00", "neither YAML nor JSON"),
        (b'{"kind": "Pod", "x": "a\\u0000b"}', "NUL"),
        (b"kind: Pod\nspec: {image: good, image: bad}\n", "image stands twice"),
        (b"kind: Pod\nx: " + b"[" * 200 + b"]" * 200, "nested over|neither"),
        (b"kind: Pod\n1: x\n", "names that are no text"),
        (b"kind: Pod\n? [a, b]\n: x\n", "neither YAML nor JSON"),
        (b"a: &a {kind: Pod}\n<<: *a\n", "write them out"),
        (b"x" * (5 << 20), "are read"),
        (b"kind: Pod\nx: !!python/object:os.system {}\n", "neither YAML nor JSON"),
    ],
)
def test_what_is_no_resource_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        read_resources(content, "file.yaml")


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["kind: Pod", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(RefusedError, match="values"):
        read_resources("\n".join(lines).encode(), "file.yaml")


def test_lists_are_taken_apart_and_dates_stay_text() -> None:
    content = b"kind: List\nitems:\n- {kind: Pod, metadata: {name: a}, at: 2026-01-01}\n- {kind: Job}\n---\nkind: Pod\n"
    found = read_resources(content, "file.yaml")
    assert [one.name for one in found] == ["Pod/a", "Job/?", "Pod/?"]
    assert found[0].document["at"] == "2026-01-01"


def test_gatekeeper_is_given_what_it_takes() -> None:
    template, constraint = constraint_documents(Policy.shipped("kserve"), ["reg.example/models"])
    (target,) = template["spec"]["targets"]
    rego = target["code"][0]["source"]["rego"]
    assert "data." not in "\n".join(line for line in rego.splitlines() if not line.startswith("#"))
    assert constraint["kind"] == template["spec"]["crd"]["spec"]["names"]["kind"]
    good = cases("kserve")[2].values[1]["document"]
    policy = Policy("template", rego, "fair.kserve")
    assert policy.denials(good, {}) == []
    assert policy.denials({**good, "parameters": constraint["spec"]["parameters"]}, {})
    text = constraint_yaml([template, constraint])
    assert list(yaml.safe_load_all(text)) == [template, constraint]
    assert "\n          package fair.kserve\n" in text


def test_settings_of_an_operator_come_on_top() -> None:
    more = {"fair_policy": {"registries": ["a.example"], "urls": ["http://x/"]}, "team": 1}
    assert settings_of(["b.example"], [DIGEST], more) == {
        "team": 1,
        "fair_policy": {"registries": ["a.example", "b.example"], "urls": ["http://x/"], "signed": [DIGEST]},
    }
    with pytest.raises(RefusedError, match="no list"):
        settings_of([], [], {"fair_policy": {"signed": "all"}})
