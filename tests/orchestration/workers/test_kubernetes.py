"""Steps as pods: what dagster-k8s would ask a cluster for, made by its own executor and checked by Kubernetes' schemas.

There is no cluster here: its client is one that writes down what it is asked for and refuses it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.api import execute_run

pytest.importorskip("dagster_k8s", reason="the extra `team` is not installed")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the extra `dev` is not installed")

from dagster_k8s.client import DagsterKubernetesClient  # noqa: E402
from kubernetes.client import ApiClient  # noqa: E402

from fair_dagster.definitions import build_defs, job_of  # noqa: E402
from fair_dagster.orchestration import keys  # noqa: E402
from fair_dagster.settings import Settings  # noqa: E402

MODEL = "texture-segmentation"
_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""
_DAGSTER = """
telemetry: {{enabled: false}}
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    service_account_name: dagster
    job_image: registry.example/fair-dagster@sha256:{digest}
    dagster_home: /opt/dagster/home
    instance_config_map: dagster-instance
    load_incluster_config: false
    kubeconfig_file: {kubeconfig}
    job_namespace: fair
    env_secrets: [fair-dagster]
"""


class Cluster:
    """What is asked of it, as documents; it refuses everything."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []

    def create_namespaced_job_with_retries(self, body: Any, namespace: str) -> None:
        assert namespace == "fair"
        self.jobs.append(ApiClient().sanitize_for_serialization(body))
        raise PermissionError("there is no cluster")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setattr(DagsterKubernetesClient, "production_client", lambda **_: found)
    return found


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "kubeconfig").write_text(_KUBECONFIG)
    config = _DAGSTER.format(digest="0" * 64, kubeconfig=tmp_path / "kubeconfig")
    (tmp_path / "dagster.yaml").write_text(config)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("FAIR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAIR_EXECUTOR", "kubernetes")
    monkeypatch.setenv("FAIR_ALERT_SECRET", "s3cret")
    monkeypatch.setenv(
        "FAIR_TRAINING_RESOURCES", '{"requests": {"memory": "2Gi"}, "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"}}'
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def asked_for(instance: dg.DagsterInstance, cluster: Cluster, asset: dg.AssetKey, partition: str) -> dict[str, Any]:
    """The pod of the asset's step, as a Kubernetes job."""
    instance.add_dynamic_partitions(keys.finetunes_name(MODEL), [partition])
    name = keys.finetune_job(MODEL)
    job = dg.build_reconstructable_job("fair_dagster.definitions", "job_of", (name,), {})
    subset = job.get_subset(asset_selection={asset})
    run = instance.create_run_for_job(
        subset.get_definition(),
        tags={"dagster/partition": partition},
        job_code_origin=job.get_python_origin(),
        asset_selection={asset},
    )
    assert not execute_run(subset, run, instance).success
    (asked,) = cluster.jobs
    return asked


def test_the_pod_that_trains_gets_what_the_setting_says(instance: dg.DagsterInstance, cluster: Cluster) -> None:
    asked = asked_for(instance, cluster, keys.finetuned_model(MODEL), "town-buildings-v1")
    kubernetes_validate.validate(asked, kubernetes_validate.latest_version(), strict=True)
    (container,) = asked["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"memory": "2Gi"},
        "limits": {"memory": "6Gi", "nvidia.com/gpu": "1"},
    }
    assert container["args"][:3] == ["dagster", "api", "execute_step"]
    assert container["envFrom"] == [{"secretRef": {"name": "fair-dagster"}}]
    assert "s3cret" not in str(asked)
    assert asked["metadata"]["labels"]["dagster/op"].startswith("finetuned_models__")


def test_other_pods_ask_for_nothing_of_their_own(instance: dg.DagsterInstance, cluster: Cluster) -> None:
    asked = asked_for(instance, cluster, keys.training_config(MODEL), "town-buildings-v1")
    kubernetes_validate.validate(asked, kubernetes_validate.latest_version(), strict=True)
    (container,) = asked["spec"]["template"]["spec"]["containers"]
    assert not container.get("resources")


def test_a_publication_is_one_step_where_steps_are_elsewhere(instance: dg.DagsterInstance) -> None:
    """Between pods no value can be handed on."""
    definitions = build_defs(settings=Settings())
    job = definitions.resolve_job_def(keys.publish_job(MODEL))
    assert [node.name for node in job.nodes_in_topological_order] == [f"local_models__{MODEL.replace('-', '_')}"]
    inner = job.graph.node_named(f"local_models__{MODEL.replace('-', '_')}").definition
    assert isinstance(inner, dg.GraphDefinition)
    assert [node.definition.name for node in inner.nodes] == ["publish_families"]
    assert definitions.executor is not dg.in_process_executor
    assert job_of(keys.RECOMPUTE_JOB).executor_def is dg.in_process_executor
