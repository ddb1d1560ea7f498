"""The policy for KServe as documents of Gatekeeper, which evaluates it when resources are admitted. Pure.

https://open-policy-agent.github.io/gatekeeper/website/docs/constrainttemplates. The rules
stand in ``rego/kserve.rego``.
"""

from collections.abc import Sequence
from typing import Any

from fair_dagster.oci.trust.policy import SETTINGS, Policy

_KIND = "FairSignedModels"
_LISTS = ("registries", "signed", "runtime_registries", "urls", "volumes", "ignored_kinds")
_MATCHES = [
    {"apiGroups": ["serving.kserve.io"], "kinds": ["*"]},
    {"apiGroups": ["apps"], "kinds": ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]},
    {"apiGroups": ["batch"], "kinds": ["Job", "CronJob"]},
    {"apiGroups": [""], "kinds": ["Pod", "ReplicationController"]},
]


def constraint_documents(policy: Policy, registries: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A ConstraintTemplate and a Constraint of it; digests that were verified are to be added to ``signed``."""
    # Gatekeeper refuses templates that read data of others, and gives settings as parameters.
    fallback = f"settings := input.parameters if not input.kind\n\nelse := data.{SETTINGS}\n"
    # Without tabs YAML can hold it as people read it.
    rego = policy.source.replace(fallback, "settings := input.parameters\n").expandtabs(2)
    strings = {name: {"type": "array", "items": {"type": "string"}} for name in _LISTS}
    schema = {"type": "object", "properties": strings}
    template = {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": _KIND.lower()},
        "spec": {
            "crd": {"spec": {"names": {"kind": _KIND}, "validation": {"openAPIV3Schema": schema}}},
            "targets": [
                {
                    "target": "admission.k8s.gatekeeper.sh",
                    "code": [{"engine": "Rego", "source": {"version": "v1", "rego": rego}}],
                }
            ],
        },
    }
    parameters: dict[str, list[str]] = {name: [] for name in _LISTS} | {"registries": list(registries)}
    constraint = {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": _KIND,
        "metadata": {"name": "models-are-signed"},
        "spec": {"match": {"kinds": [dict(one) for one in _MATCHES]}, "parameters": parameters},
    }
    return template, constraint


def constraint_yaml(documents: Sequence[dict[str, Any]]) -> str:
    """The documents for `kubectl apply`, with the Rego as lines."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    written: str = yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return written
