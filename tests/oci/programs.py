"""Programs that read what is written here, as people have them: skopeo, umoci, and BusyBox for what KServe runs.

Debian's packages are installed where that can be done; elsewhere a test that needs one is skipped by name.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import ServiceError
from fair_dagster.oci.references import Reference
from scripts.local_services.machine import Machine
from scripts.local_services.readers import install_readers, reader
from tests.services.servers import unavailable


def program(name: str, folder: Path) -> Path:
    """Where a program is, installed if need be. ``folder`` takes the log."""
    machine = Machine()
    try:
        install_readers(machine, folder / "apt.log", [name])
        return reader(machine, name)
    except ServiceError as error:
        unavailable(str(error))
        raise


@dataclass(frozen=True)
class Readers:
    """skopeo and umoci with a folder to write to."""

    skopeo: Path
    umoci: Path
    folder: Path

    def inspect(self, reference: Reference, *options: str) -> Any:
        """What skopeo says of an image."""
        return json.loads(_run([str(self.skopeo), *options, "inspect", "--tls-verify=false", f"docker://{reference}"]))

    def config(self, reference: Reference) -> Any:
        """The config of an image as skopeo reads it."""
        command = [str(self.skopeo), "inspect", "--config", "--tls-verify=false", f"docker://{reference}"]
        return json.loads(_run(command))

    def root(self, reference: Reference, *options: str) -> Path:
        """The root of the file system that umoci makes of an image after skopeo has copied it."""
        layout, bundle = self.folder / "layout", self.folder / "bundle"
        shutil.rmtree(layout, ignore_errors=True)
        shutil.rmtree(bundle, ignore_errors=True)
        source, target = f"docker://{reference}", f"oci:{layout}:image"
        _run([str(self.skopeo), *options, "copy", "--src-tls-verify=false", source, target])
        _run([str(self.umoci), "unpack", "--rootless", "--image", f"{layout}:image", str(bundle)])
        return bundle / "rootfs"


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
