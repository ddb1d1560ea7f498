# What KServe may serve, and pods may run: models and images of allowed registries, by digest, signed. All else is denied.
#
# Evaluated as it is by OPA (an AdmissionReview), Gatekeeper (review and parameters), Conftest (a manifest), and
# `fair-dagster oci policy check`. Settings are Gatekeeper's parameters, elsewhere data.fair_policy:
#   registries          where models and images may come from: ["registry.example.org/models"]
#   signed              digests whose signature was verified: ["sha256:…"]
#   runtime_registries  where images may come from that need only a digest, such as serving runtimes
#   urls                beginnings of other URLs that may stand in a manifest
#   volumes             kinds of volumes that may be mounted beside those that hold no models
#   ignored_kinds       kinds of resources that are no business of this policy
# A setting that is not there allows nothing.
package fair.kserve

import rego.v1

resource := input.request.object if input.kind == "AdmissionReview"

else := input.review.object if not input.kind

else := input

settings := input.parameters if not input.kind

else := data.fair_policy

# What is deleted serves nothing any more.
is_deletion if {
	input.kind == "AdmissionReview"
	input.request.operation == "DELETE"
}

is_deletion if {
	not input.kind
	input.review.operation == "DELETE"
}

kinds := {
	"InferenceService", "InferenceGraph", "TrainedModel", "LLMInferenceService", "LLMInferenceServiceConfig",
	"ServingRuntime", "ClusterServingRuntime", "ClusterStorageContainer", "LocalModelCache", "LocalModelNamespaceCache",
	"Pod", "PodTemplate", "Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job",
	"CronJob",
}

is_judged if {
	not is_deletion
	not is_ignored
}

is_ignored if {
	some kind in settings.ignored_kinds
	kind == resource.kind
}

default allow := false

allow if count(deny) == 0

# As Gatekeeper wants it.
violation contains {"msg": message} if some message in deny

# --- places -----------------------------------------------------------------------------------------------------------

# Every value, but for what the API server writes itself: kubectl's copy of a former manifest, owners of fields, status.
places contains [path, value] if {
	walk(resource, [path, value])
	not is_written_by_the_server(path)
}

is_written_by_the_server(path) if path[0] == "status"

is_written_by_the_server(path) if {
	path[0] == "metadata"
	path[1] == "managedFields"
}

is_written_by_the_server(path) if {
	path[0] == "metadata"
	path[1] == "annotations"
	path[2] == "kubectl.kubernetes.io/last-applied-configuration"
}

last(path) := path[count(path) - 1]

above(path) := path[count(path) - 2]

segment(one) := one if is_string(one)

segment(one) := format_int(one, 10) if is_number(one)

where(path) := concat(".", [segment(one) | some one in path])

# Fields that say where a model is, in every kind of KServe: storageUri of model, of a framework, an explainer or a
# trained model; storageUris[].uri; model.uri and adapters of an LLMInferenceService; sourceModelUri of a cache.
uri_fields := {"storageUri", "sourceModelUri", "modelUri", "uri"}

models contains [path, value] if {
	some [path, value] in places
	last(path) in uri_fields
	not is_object(value)
	not is_array(value)
}

# A URL in a list of URLs without names of its own.
models contains [path, value] if {
	some [path, value] in places
	above(path) == "storageUris"
	is_string(value)
}

# What the storage initializer is told by its environment and by annotations.
model_variables := {"STORAGE_URI", "MODEL_URI", "MODEL_SOURCE"}

models contains [array.concat(path, ["value"]), object.get(value, "value", null)] if {
	some [path, value] in places
	is_object(value)
	value.name in model_variables
	above(path) == "env"
}

models contains [path, value] if {
	some [path, value] in places
	count(path) > 2
	above(path) == "annotations"
	contains(last(path), "kserve.io/")
	regex.match("uri|storage|s3|modelcar", lower(last(path)))
}

# Images of containers of every sort, and of volumes.
images contains [path, value] if {
	some [path, value] in places
	last(path) == "image"
	not is_object(value)
}

images contains [array.concat(path, ["reference"]), object.get(value, "reference", null)] if {
	some [path, value] in places
	last(path) == "image"
	is_object(value)
}

# --- what is allowed --------------------------------------------------------------------------------------------------

# registry/repository, a tag or none, and a digest.
name_form := `^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$`

name_of(reference) := regex.replace(split(reference, "@")[0], `:[A-Za-z0-9_][A-Za-z0-9_.-]*$`, "")

digest_of(reference) := split(reference, "@")[1]

is_named(reference) if {
	is_string(reference)
	regex.match(name_form, reference)
}

is_below(name, root) if name == trim_suffix(root, "/")

is_below(name, root) if startswith(name, concat("", [trim_suffix(root, "/"), "/"]))

is_from_registry(reference) if {
	is_named(reference)
	some root in settings.registries
	is_below(name_of(reference), root)
}

is_signed(reference) if {
	is_named(reference)
	some digest in settings.signed
	digest == digest_of(reference)
}

is_from_runtimes(reference) if {
	is_named(reference)
	some root in settings.runtime_registries
	is_below(name_of(reference), root)
}

is_allowed(reference) if {
	is_from_registry(reference)
	is_signed(reference)
}

is_allowed_image(image) if is_allowed(image)

is_allowed_image(image) if is_from_runtimes(image)

reference_in(uri) := substring(uri, 6, -1) if {
	is_string(uri)
	startswith(uri, "oci://")
}

is_allowed_model(uri) if is_allowed(reference_in(uri))

is_allowed_url(text) if is_allowed_model(text)

is_allowed_url(text) if {
	some root in settings.urls
	startswith(text, root)
	not regex.match("[ \t\r\n]", text)
	# One beginning must not open the door to a second URL.
	count(split(text, "://")) == 2
}

# What would be allowed if it were signed: for whoever verifies signatures and gives `signed`.
references contains reference_in(text) if {
	some [_, text] in places
	is_from_registry(reference_in(text))
}

references contains image if {
	some [_, image] in images
	is_from_registry(image)
}

# --- reasons ----------------------------------------------------------------------------------------------------------

shown(value) := value if is_string(value)

shown(value) := json.marshal(value) if not is_string(value)

reason(reference) := "is no registry/repository@sha256:… : a tag may mean another model tomorrow" if not is_named(reference)

else := "is of no allowed registry" if not is_from_registry(reference)

else := "is not signed by a trusted key"

deny contains "there is no resource to judge" if {
	is_judged
	not resource.kind
}

deny contains concat("", ["kind ", shown(resource.kind), " is not known to this policy: add it to ignored_kinds"]) if {
	is_judged
	not resource.kind in kinds
}

deny contains concat("", [where(path), ": ", shown(uri), " names no artifact: only oci://registry/repository@sha256:…"]) if {
	is_judged
	some [path, uri] in models
	not reference_in(uri)
}

deny contains concat("", [where(path), ": ", shown(uri), " ", reason(reference_in(uri))]) if {
	is_judged
	some [path, uri] in models
	reference_in(uri)
	not is_allowed_model(uri)
}

deny contains concat("", [where(path), ": image ", shown(image), " ", reason(image)]) if {
	is_judged
	some [path, image] in images
	not is_allowed_image(image)
}

# Any URL anywhere: in arguments, other variables, annotations, fields of a KServe that is newer than this policy.
deny contains concat("", [where(path), ": ", text, " names something by a URL that is not allowed"]) if {
	is_judged
	some [path, text] in places
	is_string(text)
	contains(text, "://")
	not is_allowed_url(text)
	# Of these the reason was told.
	not is_model(path)
}

is_model(path) if {
	some [one, _] in models
	one == path
}

# `storage` names a bucket by a secret and a path.
deny contains concat("", [where(path), ": storage is no artifact: use storageUri"]) if {
	is_judged
	some [path, value] in places
	last(path) in {"storage", "storageSpec"}
	is_object(value)
}

# A model or framework that names no model would take what its runtime brings along.
frameworks := {
	"model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm", "paddle",
	"mlflow",
}

has_model(component) if is_string(component.storageUri)

has_model(component) if count(component.storageUris) > 0

deny contains concat("", ["spec.predictor.", name, " names no storageUri"]) if {
	is_judged
	resource.kind == "InferenceService"
	some name in frameworks
	component := resource.spec.predictor[name]
	not has_model(component)
}

deny contains "spec.predictor names neither a model nor an image" if {
	is_judged
	resource.kind == "InferenceService"
	not has_source
}

has_source if {
	some [path, _] in models | images
	path[0] == "spec"
	path[1] == "predictor"
}

deny contains "spec.model.uri is missing" if {
	is_judged
	resource.kind == "LLMInferenceService"
	not resource.spec.model.uri
}

# What a container would fetch by itself.
fetching := `^--?(model|model[_-]?id|model[_-]?dir|model[_-]?path|repo[_-]?id|tokenizer)(=|$)`

is_of_the_mount(text) if regex.match(`^(--?[a-z_-]+=)?/mnt/models(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?$`, text)

deny contains concat("", [where(path), ": ", argument, " may fetch a model: write --option=/mnt/models, in one word"]) if {
	is_judged
	some [path, argument] in places
	above(path) in {"args", "command"}
	is_string(argument)
	regex.match(fetching, argument)
	not is_of_the_mount(argument)
}

fetching_variables := {"MODEL_ID", "HF_MODEL_ID", "MODEL", "MODEL_DIR", "MODEL_PATH", "MODEL_NAME_OR_PATH"}

deny contains concat("", [where(path), ": ", variable.name, " may fetch a model"]) if {
	is_judged
	some [path, variable] in places
	is_object(variable)
	above(path) == "env"
	variable.name in fetching_variables
	not is_of_the_mount(variable.value)
}

deny contains concat("", [where(path), ": variables of a ConfigMap or Secret as a whole may name a model; name each"]) if {
	is_judged
	some [path, value] in places
	last(path) == "envFrom"
	value != []
}

volume_kinds := {"emptyDir", "configMap", "secret", "projected", "downwardAPI", "image"}

deny contains concat("", [where(path), ": a volume of kind ", kind, " may hold a model that nobody has signed"]) if {
	is_judged
	some [path, volume] in places
	above(path) == "volumes"
	is_object(volume)
	some kind, _ in volume
	kind != "name"
	not kind in volume_kinds
	not is_allowed_volume(kind)
}

# Claims that a StatefulSet makes: the same volumes, in another place.
deny contains concat("", [where(path), ": a volume of kind persistentVolumeClaim may hold a model that nobody has signed"]) if {
	is_judged
	some [path, value] in places
	last(path) == "volumeClaimTemplates"
	not is_empty(value)
	not is_allowed_volume("persistentVolumeClaim")
}

is_empty(value) if value == []

is_empty(value) if is_null(value)

is_allowed_volume(kind) if {
	some one in settings.volumes
	one == kind
}
