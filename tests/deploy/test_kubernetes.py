"""Kubernetes' manifests: of the right form, modest in what they ask for, closed, and naming only what there is."""

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.documents import DEPLOY, chart_values, manifests, pod_templates, services, stages

FOLDER = DEPLOY / "kubernetes"
GUIDE = DEPLOY.parent / "docs" / "deploying.md"
VERSION = "1.31"
PODS = dict(pod_templates())
IMAGES = {name: stages()[name] for name in ("code-location", "stac-api", "zenml-server", "mlflow")}
LONG_LIVED = {name for name in PODS if not name.startswith("Job/")}


def _containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in PODS.items():
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield name, container


@pytest.mark.parametrize("document", manifests(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_follows_kubernetes_schema(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_manifest_that_does_not_is_noticed() -> None:
    altered = copy.deepcopy(next(one for one in manifests() if one["kind"] == "Deployment"))
    altered["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(altered, VERSION, strict=True)


def test_every_file_is_in_a_kustomization_and_every_entry_is_there() -> None:
    listed = set()
    for path in FOLDER.rglob("kustomization.yaml"):
        found = yaml.safe_load(path.read_text())
        entries = [*found.get("resources", []), *found.get("components", [])]
        assert [entry for entry in entries if not (path.parent / entry).exists()] == []
        listed |= {(path.parent / entry).resolve() for entry in entries}
    files = {path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files - listed == set()


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed: nothing builds the kustomizations"
)
@pytest.mark.parametrize(("overlay", "executor"), [("steps-as-pods", "kubernetes"), ("steps-on-workers", "celery")])
def test_an_overlay_builds_into_manifests_of_one_namespace(overlay: str, executor: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    for document in built:
        kubernetes_validate.validate(document, VERSION, strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "fair"
    settings = [one for one in built if one["metadata"]["name"] == "fair-settings"]
    assert [one["data"]["FAIR_EXECUTOR"] for one in settings] == [executor]
    assert "image: fair-dagster/" not in done.stdout


@pytest.mark.parametrize(
    ("name", "container"), list(_containers()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_container_is_limited_and_nobody_special(name: str, container: dict[str, Any]) -> None:
    pod = PODS[name]
    assert container["resources"]["limits"]["memory"]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False
    image, _, tag = container["image"].partition(":")
    assert tag not in {"", "latest"} or image in {f"fair-dagster/{one}" for one in IMAGES}


@pytest.mark.parametrize("name", sorted(LONG_LIVED))
def test_what_goes_on_has_probes(name: str) -> None:
    for container in PODS[name]["containers"]:
        assert "startupProbe" in container
        # Nobody sends requests to a worker, and whether it answers depends on Redis: when that is away, a training that
        # goes on must not be killed.
        expected = set() if "worker" in name else {"livenessProbe", "readinessProbe"}
        assert set(container) & {"livenessProbe", "readinessProbe"} == expected


def test_ports_and_commands_are_those_of_the_images() -> None:
    for name, container in _containers():
        stage = IMAGES.get(container["image"].partition("/")[2])
        if stage is None or not container.get("ports"):
            continue
        assert str(container["ports"][0]["containerPort"]) == stage.last("EXPOSE"), name
        assert str(container["ports"][0]["containerPort"]) in str(container.get("args", stage.command)), name


def test_what_runs_in_both_is_started_alike_here_and_in_the_compose_file() -> None:
    twins = {
        "Job/postgres-setup": "postgres-setup",
        "Job/s3-setup": "s3-setup",
        "Deployment/mlflow": "mlflow",
        "Deployment/worker": "worker",
        "Deployment/worker-training": "worker-training",
        "StatefulSet/registry": "registry",
    }
    for here, there in twins.items():
        assert PODS[here]["containers"][0]["args"] == services()[there]["command"], here


def test_services_find_pods_and_policies_concern_somebody() -> None:
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in manifests() if "template" in one.get("spec", {})]
    for document in manifests():
        if document["kind"] == "Service":
            selector = document["spec"]["selector"]
        elif document["kind"] in {"NetworkPolicy", "PodDisruptionBudget"}:
            chosen = document["spec"].get("podSelector", document["spec"].get("selector"))
            selector = chosen.get("matchLabels", {})
        else:
            continue
        of_the_chart = selector.get("component") in {"dagster-webserver", "user-deployments"}
        assert of_the_chart or any(selector.items() <= labels.items() for labels in pods), document["metadata"]["name"]


def test_everybody_who_can_be_reached_is_protected() -> None:
    policies = [one["spec"]["podSelector"] for one in manifests() if one["kind"] == "NetworkPolicy"]
    assert {} in policies
    for document in manifests():
        if document["kind"] == "Service":
            assert {"matchLabels": document["spec"]["selector"]} in policies, document["metadata"]["name"]


def test_pods_reach_each_other_also_where_addresses_mean_only_what_is_outside() -> None:
    """Cilium's `ipBlock` never selects pods: DNS and every server of the cluster would be cut off."""
    (outwards,) = (one for one in manifests() if one["metadata"]["name"] == "outwards")
    (rule,) = outwards["spec"]["egress"]
    assert {"namespaceSelector": {}} in rule["to"]
    assert "ports" not in rule


def test_no_secret_stands_in_a_manifest() -> None:
    assert [one for one in manifests() if one["kind"] == "Secret"] == []
    secret = re.compile(r"PASSWORD|SECRET|_KEY$|DSN|TOKEN|BROKER_URL|BACKEND_STORE_URI")
    for document in manifests():
        if document["kind"] == "ConfigMap":
            assert [name for name in document["data"] if secret.search(name)] == []
    for name, container in _containers():
        plain = [one["name"] for one in container.get("env", []) if "value" in one]
        assert [variable for variable in plain if secret.search(variable)] == [], name


def _named(value: Any, keys: set[str]) -> Iterator[str]:
    """The names under which a document refers to others by any of the keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and isinstance(inner, dict):
                yield str(inner.get("name") or inner.get("secretName"))
            elif key in keys and isinstance(inner, list):
                yield from (str(one["name"]) for one in inner)
            else:
                yield from _named(inner, keys)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, keys)


def test_config_maps_that_are_named_are_there() -> None:
    there = {one["metadata"]["name"] for one in manifests() if one["kind"] == "ConfigMap"}
    # The chart's release makes its own, with dagster.yaml.
    there.add("dagster-instance")
    named = set(_named(list(PODS.values()), {"configMapRef", "configMapKeyRef", "configMap"}))
    named |= set(_named(chart_values(), {"envConfigMaps"}))
    assert named - there == set()
    assert there - named == set()


def test_secrets_that_are_named_are_explained_to_the_operator() -> None:
    named = set(_named(list(PODS.values()), {"secretRef", "secretKeyRef", "secret"}))
    named |= set(_named(chart_values(), {"envSecrets"})) | {chart_values()["global"]["postgresqlSecretName"]}
    explained = set(re.findall(r"^\| `([a-z0-9-]+)` \|", GUIDE.read_text(), flags=re.MULTILINE))
    assert len(named) >= 8
    assert named - explained == set()


def test_the_home_is_one_volume_for_all_who_use_it() -> None:
    (claim,) = (one for one in manifests() if one["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    home = {"name": "home", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
    for worker in ("Deployment/worker", "Deployment/worker-training"):
        assert home in PODS[worker]["volumes"]
    (location,) = chart_values()["dagster-user-deployments"]["deployments"]
    assert home in location["volumes"]
    assert {"name": "home", "mountPath": IMAGES["code-location"].environment["FAIR_HOME"]} in location["volumeMounts"]
