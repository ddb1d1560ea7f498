# Which artifacts may come in: of allowed registries, by digest, signed. All else is denied.
#
# The input is what `fair-dagster oci verify` found: reference, digest, signatures, provenance. Settings are
# data.fair_policy:
#   registries          where artifacts may come from: ["registry.example.org/models"]
#   require_provenance  true asks for signed provenance too
# Without registries nothing is allowed.
package fair.artifact

import rego.v1

default allow := false

allow if count(deny) == 0

violation contains {"msg": message} if some message in deny

name_form := `^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}$`

is_named if regex.match(name_form, input.reference)

name := split(input.reference, "@")[0]

is_below(root) if name == trim_suffix(root, "/")

is_below(root) if startswith(name, concat("", [trim_suffix(root, "/"), "/"]))

is_from_registry if {
	is_named
	some root in data.fair_policy.registries
	is_below(root)
}

is_signed if count(input.signatures) > 0

has_provenance if count(input.provenance) > 0

wants_provenance if data.fair_policy.require_provenance == true

deny contains "it is named by no registry/repository@sha256:…" if not is_named

deny contains concat("", [name, " is below no allowed registry"]) if {
	is_named
	not is_from_registry
}

deny contains "no trusted key has signed it" if not is_signed

deny contains "no trusted key says where it comes from" if {
	wants_provenance
	not has_provenance
}
