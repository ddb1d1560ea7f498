"""How each peer pushes and pulls in ``benchmarks.oci``: a command, and what it says of its own time."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_OURS = """
import json, sys, time
from pathlib import Path
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import parts_of, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry import Registries
act, target, *paths = sys.argv[1:]
reference = Reference.parse(target)
registries = Registries((reference.registry,), lambda _: None)
start = time.perf_counter()
if act == "push":
    push(registries, reference, parts_of([Path(one) for one in paths]), ModelMetadata(name="bench"))
else:
    pull(registries, reference, Path(paths[0]))
print(json.dumps(time.perf_counter() - start))
"""
_ORAS = """
import json, logging, sys, time
import oras.provider
logging.disable(logging.CRITICAL)
act, target, *paths = sys.argv[1:]
registry = oras.provider.Registry(insecure=True)
start = time.perf_counter()
if act == "push":
    registry.push(target, files=[one + ":application/x-mlmodel" for one in paths], disable_path_validation=True,
                  do_chunked=True, quiet=True)
else:
    registry.pull(target, outdir=paths[0])
print(json.dumps(time.perf_counter() - start))
"""
_OMLMD = """
import json, logging, os, sys, time
from omlmd.helpers import Helper
logging.disable(logging.CRITICAL)
act, target, *paths = sys.argv[1:]
os.chdir(os.path.dirname(paths[0]))
start = time.perf_counter()
if act == "push":
    Helper().push(target, paths[0], name="bench")
else:
    os.makedirs(paths[0], exist_ok=True)
    Helper().pull(target, paths[0])
print(json.dumps(time.perf_counter() - start))
"""


@dataclass(frozen=True)
class Taken:
    """Seconds, and the process's largest memory in MB."""

    seconds: float
    peak: float


Act = Callable[[str, str, list[Path]], Taken]
"""``push`` or ``pull``, a reference, and the files to push or the folder to pull to."""


def ours() -> Act:
    return _python(Path(sys.executable), _OURS)


def oras(python: Path) -> Act:
    return _python(python, _ORAS)


def omlmd(python: Path) -> Act:
    return _python(python, _OMLMD)


def skopeo(folder: Path) -> Act | None:
    """None where skopeo is not installed. Its source is a folder of blobs by their digests, hashed beforehand."""
    command = shutil.which("skopeo")
    if command is None:
        return None

    def act(what: str, target: str, paths: list[Path]) -> Taken:
        registry = f"docker://{target}"
        if what == "push":
            source = _image_folder(folder / "skopeo", paths)
            ends = ["--dest-tls-verify=false", f"dir:{source}", registry]
        else:
            ends = ["--src-tls-verify=false", registry, f"dir:{paths[0]}"]
        start = time.perf_counter()
        peak = _run([command, "--insecure-policy", "copy", "--quiet", *ends])[1]
        return Taken(time.perf_counter() - start, peak)

    return act


def _python(python: Path, script: str) -> Act:
    def act(what: str, target: str, paths: list[Path]) -> Taken:
        output, peak = _run([str(python), "-c", script, what, target, *map(str, paths)])
        return Taken(float(json.loads(output.splitlines()[-1])), peak)

    return act


def _run(command: list[str]) -> tuple[str, float]:
    """What a command prints, and its largest memory in MB."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        output, errors = process.stdout.read() if process.stdout else "", ""
        errors = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {errors.strip()[-500:]}")
    return output, usage.ru_maxrss / 1024


def _image_folder(folder: Path, paths: list[Path]) -> Path:
    """The files as an image in the layout ``dir:``, linked."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = b"{}"
    layers = []
    for path in paths:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        os.link(path, folder / digest)
        layers.append(_described(digest, path.stat().st_size, "application/x-mlmodel"))
    digest = hashlib.sha256(config).hexdigest()
    (folder / digest).write_bytes(config)
    described = _described(digest, len(config), "application/vnd.oci.image.config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": layers}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    return folder


def _described(digest: str, size: int, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}
