"""The chart's values, through what the chart makes of them: an instance of Dagster's, and the pods of a run.

The chart itself is not here. What it writes into dagster.yaml is repeated below for the values that we set.
"""

import json
import re
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config  # The check that an instance's file goes through; exported nowhere.
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig, construct_dagster_k8s_job, get_user_defined_k8s_config
from kubernetes.client import ApiClient

from fair_dagster.orchestration.workers.executors import training_tags
from fair_dagster.settings import Settings
from tests.deploy.documents import DEPLOY, ROOT, chart_values, settings_of

KUBERNETES = "1.31"
# The values of the chart that we set, by the places that have a fixed set of names (`additionalProperties: false`).
ALLOWED = {
    "runLauncher.config.k8sRunLauncher": """image imagePullPolicy jobNamespace loadInclusterConfig kubeconfigFile
        envConfigMaps envSecrets envVars volumeMounts volumes labels failPodOnRunFailure resources schedulerName
        securityContext runK8sConfig""",
    "runLauncher.config.k8sRunLauncher.runK8sConfig": """containerConfig podSpecConfig podTemplateSpecMetadata
        jobSpecConfig jobMetadata""",
    "dagsterDaemon": """enabled image runCoordinator heartbeatTolerance env envConfigMaps envSecrets deploymentLabels
        labels nodeSelector affinity tolerations podSecurityContext securityContext resources livenessProbe
        readinessProbe startupProbe annotations runMonitoring runRetries sensors schedules schedulerName volumeMounts
        volumes""",
    "dagsterDaemon.runCoordinator.config.queuedRunCoordinator": """maxConcurrentRuns tagConcurrencyLimits
        dequeueIntervalSeconds dequeueNumWorkers dequeueUseThreads blockOpConcurrencyLimitedRuns""",
    "dagsterWebserver": """replicaCount image nameOverride pathPrefix service workspace env envConfigMaps envSecrets
        deploymentLabels labels nodeSelector affinity tolerations podSecurityContext securityContext resources
        readinessProbe livenessProbe startupProbe annotations enableReadOnly dbStatementTimeout dbPoolRecycle logLevel
        schedulerName volumeMounts volumes""",
    "computeLogManager.config": """azureBlobComputeLogManager gcsComputeLogManager s3ComputeLogManager
        customComputeLogManager""",
    "concurrency": "enabled pools runs",
    "concurrency.pools": "defaultLimit granularity opGranularityRunBuffer",
    "concurrency.runs": "maxConcurrentRuns tagConcurrencyLimits",
    "retention": "enabled sensor schedule autoMaterialize",
}
WITH_WORKERS = {"start_timeout_seconds": 86400, "poll_interval_seconds": 5}
KINDS_OF_TICK = ("skipped", "success", "failure", "started")


def _at(path: str) -> dict[str, Any]:
    found: Any = chart_values()
    for name in path.split("."):
        found = found[name]
    return dict(found)


def _snake(value: Any) -> Any:
    """Keys as Dagster spells them."""
    if isinstance(value, dict):
        return {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower(): _snake(inner) for key, inner in value.items()}
    return value


@pytest.mark.parametrize("path", sorted(ALLOWED))
def test_a_value_is_one_that_the_chart_knows(path: str) -> None:
    assert set(_at(path)) - set(ALLOWED[path].split()) == set()


@pytest.mark.parametrize("path", ["retention.sensor.purgeAfterDays", "retention.schedule.purgeAfterDays"])
def test_retention_names_every_kind_of_tick(path: str) -> None:
    """The chart's schema asks for all, and installs nothing when one is missing."""
    assert set(_at(path)) == set(KINDS_OF_TICK)


def test_the_chart_is_that_of_the_locked_dagster() -> None:
    locked = re.findall(r"^dagster==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    named = re.findall(r"--version (\S+)", (DEPLOY / "helm" / "values.yaml").read_text())
    assert named == locked == [dg.__version__]


def _instance() -> dict[str, Any]:
    """What the chart writes into dagster.yaml of the parts that it shares with our own file."""
    daemon = _at("dagsterDaemon")
    retention = _at("retention")
    return {
        "telemetry": _at("telemetry"),
        "run_monitoring": _snake(daemon["runMonitoring"]),
        "sensors": _snake(daemon["sensors"]),
        "schedules": _snake(daemon["schedules"]),
        "concurrency": {key: _snake(value) for key, value in _at("concurrency").items() if key != "enabled"},
        "retention": {name: {"purge_after_days": retention[name]["purgeAfterDays"]} for name in ("sensor", "schedule")},
        **_at("additionalInstanceConfig"),
    }


def test_dagster_accepts_the_instance() -> None:
    done = process_config(dagster_instance_config_schema(), _instance())
    assert done.success, done.errors


def test_the_instance_is_that_of_the_compose_file_but_for_what_kubernetes_differs_in() -> None:
    """Two files that say the same must not part."""
    ours = yaml.safe_load((DEPLOY / "dagster" / "dagster.yaml").read_text())
    ours["retention"]["schedule"]["purge_after_days"] = dict.fromkeys(KINDS_OF_TICK, 180)
    theirs = _instance()
    # A run waits for a pod minutes, for a free worker hours; and pods, which say themselves that they ended, are
    # looked at less often. Runs are not resumed: their own retry knows what was done already.
    for name in ("start_timeout_seconds", "poll_interval_seconds"):
        assert ours["run_monitoring"].pop(name) == WITH_WORKERS[name] != theirs["run_monitoring"].pop(name)
    assert theirs["run_monitoring"].pop("max_resume_run_attempts") == 0
    assert {name: ours[name] for name in theirs} == theirs
    logs = _snake(_at("computeLogManager.config.s3ComputeLogManager"))
    assert ours["compute_logs"]["config"] == logs


def test_with_workers_the_chart_hands_runs_to_them_as_the_compose_file_does() -> None:
    ours = yaml.safe_load((DEPLOY / "dagster" / "dagster.yaml").read_text())
    values = yaml.safe_load((DEPLOY / "helm" / "workers.yaml").read_text())
    assert values["runLauncher"]["type"] == "CustomRunLauncher"
    launcher = values["runLauncher"]["config"]["customRunLauncher"]
    assert launcher == {**ours["run_launcher"], "config": {}}
    monitoring = _snake(values["dagsterDaemon"]["runMonitoring"])
    assert monitoring == WITH_WORKERS == {name: ours["run_monitoring"][name] for name in WITH_WORKERS}
    for name in ("dagsterWebserver", "dagsterDaemon"):
        assert set(values[name]) <= set(ALLOWED[name].split())
        # A list of values replaces the one of values.yaml.
        secrets = [one["name"] for one in values[name]["envSecrets"]]
        assert secrets == [*(one["name"] for one in _at(name)["envSecrets"]), "fair-broker"]


def _launcher() -> K8sRunLauncher:
    config = _snake(_at("runLauncher.config.k8sRunLauncher"))
    # As the chart does it: Kubernetes' own fields keep their names one level down.
    raw = _at("runLauncher.config.k8sRunLauncher.runK8sConfig")
    config["run_k8s_config"] = {key: raw[name] for key, name in _RUN_PARTS.items() if name in raw}
    config |= {
        "service_account_name": "dagster",
        "job_namespace": "fair",
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": _at("global")["postgresqlSecretName"],
        "dagster_home": _at("global")["dagsterHome"],
        "load_incluster_config": False,
    }
    checked = process_config(K8sRunLauncher.config_type(), config)
    assert checked.success, checked.errors
    return K8sRunLauncher(**checked.value)


_RUN_PARTS = {
    "container_config": "containerConfig",
    "pod_spec_config": "podSpecConfig",
    "job_spec_config": "jobSpecConfig",
}


def _job(monkeypatch: pytest.MonkeyPatch, tags: UserDefinedDagsterK8sConfig | None) -> dict[str, Any]:
    """The Job of a run or step with such tags, in a code location of these values."""
    monkeypatch.setattr("kubernetes.config.load_kube_config", lambda *_args, **_options: None)
    launcher = _launcher()
    (location,) = _at("dagster-user-deployments")["deployments"]
    context = K8sContainerContext.create_from_config(
        {
            "k8s": {
                "env_config_maps": [one["name"] for one in location["envConfigMaps"]],
                "env_secrets": [one["name"] for one in location["envSecrets"]],
                "volumes": location["volumes"],
                "volume_mounts": location["volumeMounts"],
                "resources": location["resources"],
            }
        }
    )
    of_launcher = K8sContainerContext.create_for_run(
        dg.DagsterRun(job_name="publish", run_id="0"), launcher, include_run_tags=False
    )
    merged = of_launcher.merge(context)
    wanted = merged.merge(K8sContainerContext(run_k8s_config=tags)) if tags else merged
    job = construct_dagster_k8s_job(
        wanted.get_k8s_job_config(f"{location['image']['repository']}:{location['image']['tag']}", launcher),
        ["dagster", "api", "execute_run"],
        "dagster-run-0",
        user_defined_k8s_config=wanted.run_k8s_config,
    )
    return dict(ApiClient().sanitize_for_serialization(job))


def test_a_run_is_a_pod_with_the_settings_the_volume_and_the_rights_of_the_code_location(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = _job(monkeypatch, None)
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0] == "dagster"
    assert {"configMapRef": {"name": "fair-settings"}} in container["envFrom"]
    assert {"secretRef": {"name": "fair-secrets"}} in container["envFrom"]
    assert {"name": "home", "mountPath": "/data"} in container["volumeMounts"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert job["spec"]["backoffLimit"] == 0
    labels = job["spec"]["template"]["metadata"]["labels"]
    # The network policies let it in by this.
    assert labels["fair-dagster/network"] == "run"


def test_a_step_that_trains_gets_more_than_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    given = json.loads(settings_of("fair-settings")["FAIR_TRAINING_RESOURCES"])
    tags = training_tags(Settings(executor="kubernetes", training_resources=given))
    memory = {}
    of_training = get_user_defined_k8s_config({name: json.dumps(value) for name, value in tags.items()})
    for name, found in (("run", None), ("training", of_training)):
        job = _job(monkeypatch, found)
        kubernetes_validate.validate(job, KUBERNETES, strict=True)
        memory[name] = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert memory == {"run": "4Gi", "training": "16Gi"}
