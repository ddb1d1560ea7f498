"""Finding the versions that were requested with a base model or dataset, in a real ZenML."""

from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from tests.factories import finetune_request


def test_versions_are_found_by_what_their_request_names(versions: ModelVersions) -> None:
    asked = {"one": ("lineage-ramp", "lineage-town"), "other": ("lineage-ramp-two", "lineage-town")}
    for name, (base_model, dataset) in asked.items():
        made = versions.create(f"lineage-{name}")
        request = finetune_request(f"lineage-{name}", base_model=base_model, dataset=dataset)
        versions.log(made.uuid, request.to_metadata())
    versions.create("lineage-without-request")
    assert [record.id for record in versions.requested_with("lineage-ramp")] == ["lineage-one-v1"]
    both = versions.requested_with("lineage-town")
    assert [record.id for record in both] == ["lineage-one-v1", "lineage-other-v1"]
    assert (
        both[1].request
        == finetune_request("lineage-other", base_model="lineage-ramp-two", dataset="lineage-town").to_metadata()[
            "fair/request"
        ]
    )
    assert versions.requested_with("lineage") == []
