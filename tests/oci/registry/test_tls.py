"""Registries behind TLS: certificates of the machine's authorities count, and no others."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from fair_dagster.domain.errors import UnreachableError
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import parts_of, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry import connections
from fair_dagster.oci.registry.registries import Registries
from tests.oci.faults import faulty_registry
from tests.services.servers import RegistryServer


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    path = tmp_path / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(path), "-out", str(path) + ".crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_models_travel_through_tls_to_whom_the_machine_trusts(
    docker_registry: RegistryServer,
    certificate: Path,
    place: Reference,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_pause", lambda *_: 0.0)
    model = tmp_path / "model.onnx"
    model.write_bytes(os.urandom(3 << 20))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with faulty_registry(docker_registry.url, tls) as (host, faults):
        reference = Reference.parse(f"{host}/{place.repository}:v1")
        wary = Registries((f"https://{host}",), lambda _: None)
        with pytest.raises(UnreachableError, match=f"{host} does not answer .*certificate verify failed"):
            wary.manifest(reference)
        assert faults.seen == []

        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
        registries = Registries((f"https://{host}",), lambda _: None)
        push(registries, reference, parts_of([model]), ModelMetadata(name="m"))
        pull(registries, reference, tmp_path / "out")
        assert (tmp_path / "out" / "model.onnx").read_bytes() == model.read_bytes()
        registries.close()
