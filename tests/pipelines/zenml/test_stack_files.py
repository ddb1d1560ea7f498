"""Reading stack files."""

from pathlib import Path

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.pipelines.zenml.stack_files import StackFile, read_stack_file
from fair_dagster.settings import PROJECT_ROOT

ZENML = PROJECT_ROOT / "deploy" / "zenml"
SHIPPED = [ZENML / f"{name}.yaml" for name in ("docker", "docker-wandb", "kubernetes", "kubernetes-wandb", "local")]
SMALL = """
stack_name: small
components:
  orchestrator: {name: one, flavor: local}
  artifact_store:
    name: two
    flavor: s3
    configuration:
      path: s3://${BUCKET:-usual}/${PREFIX:-}
      key: "{{ s.key }}"
      client_kwargs: {endpoint_url: "${ENDPOINT:-}"}
secrets:
  s: {key: "${KEY:-}"}
"""


def read(tmp_path: Path, text: str, **environment: str) -> StackFile:
    path = tmp_path / "stack.yaml"
    path.write_text(text)
    return read_stack_file(path, environment)


def problems(tmp_path: Path, text: str, **environment: str) -> tuple[str, ...]:
    with pytest.raises(RefusedError) as raised:
        read(tmp_path, text, **environment)
    return raised.value.problems


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_files_say_what_they_need(path: Path) -> None:
    if path.stem in ("docker", "kubernetes"):
        with pytest.raises(RefusedError, match="the variable FAIR_TRACKING_URI is not set"):
            read_stack_file(path, {})
    stack = read_stack_file(path, {"FAIR_TRACKING_URI": "http://mlflow:5000"})
    assert stack.name == f"fair-{path.stem}"
    components = {component.type: component for component in stack.components}
    assert components["artifact_store"].configuration["path"] == "s3://fair-zenml"
    # An empty endpoint is none: it is AWS's own.
    assert components["artifact_store"].configuration["client_kwargs"] == {"region_name": "us-east-1"}
    # Trainings on this machine are tracked locally, whatever the stack.
    tracker = {"local": None, "docker": "mlflow", "kubernetes": "mlflow"}.get(path.stem, "wandb")
    assert (components["experiment_tracker"].flavor if tracker else None) == tracker
    assert ("experiment_tracker" in components) == (tracker is not None)
    assert ("container_registry" in components) == (path.stem != "local")
    assert "image_builder" not in components, "base models bring their images"


def test_variables_are_filled_in_and_what_is_empty_is_left_out(tmp_path: Path) -> None:
    stack = read(tmp_path, SMALL, PREFIX="zenml", KEY="s3cret")
    store = stack.components[1]
    assert store.configuration == {"path": "s3://usual/zenml", "key": "{{ s.key }}"}
    assert store.secrets == [("s", "key")]
    assert stack.secrets == {"s": {"key": "s3cret"}}
    assert "s3cret" not in repr(stack)
    assert read(tmp_path, SMALL).secrets == {"s": {}}


def test_every_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    text = SMALL.replace("${BUCKET:-usual}", "${BUCKET}").replace("${ENDPOINT:-}", "${ENDPOINT}")
    assert problems(tmp_path, text) == (
        "components.artifact_store.configuration.path: the variable BUCKET is not set",
        "components.artifact_store.configuration.client_kwargs.endpoint_url: the variable ENDPOINT is not set",
    )


def test_every_problem_of_the_form_is_named(tmp_path: Path) -> None:
    text = """
stack_name: [a]
zenml_version: 0.98.0
colour: red
components:
  orchestrator: {flavor: "no name"}
  oven: {name: hot, flavor: gas}
secrets:
  s: {plain: s3cret, defaulted: "${X:-s3cret}"}
  t: s3cret
"""
    found = problems(tmp_path, text)
    assert len(found) == 9
    told = "\n".join(found)
    for words in ("'colour'", "stack_name", "no artifact_store", "oven", "orchestrator.name", "orchestrator.flavor",
                  "secrets.s.plain", "secrets.s.defaulted", "secrets.t"):  # fmt: skip
        assert words in told
    assert "s3cret" not in told


@pytest.mark.parametrize("text", ["", "[]", "stack_name: x", "a: b: s3cret", "\x00"])
def test_what_is_no_stack_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    assert not any("s3cret" in problem for problem in problems(tmp_path, text))


def test_the_role_is_what_kubernetes_takes() -> None:
    import kubernetes_validate
    import yaml

    documents = list(yaml.safe_load_all((ZENML / "kubernetes-role.yaml").read_text()))
    assert [document["kind"] for document in documents] == ["ServiceAccount", "Role", "RoleBinding"]
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)
    # The second is that of Dagster's runs and steps: they submit trainings.
    assert [one["name"] for one in documents[2]["subjects"]] == ["zenml-orchestrator", "dagster"]


@pytest.mark.parametrize("name", ["PREFIX", "ENDPOINT"])
def test_a_password_in_a_url_goes_into_no_component(tmp_path: Path, name: str) -> None:
    text = SMALL.replace("s3://${BUCKET:-usual}/${PREFIX:-}", "${PREFIX:-s3://usual}")
    (problem,) = problems(tmp_path, text, **{name: "https://user:hunter2@mlflow.example.org"})
    assert "without" in problem
    assert "hunter2" not in problem
