"""What mkdocs does for the site beside rendering `docs/`: the hooks of `mkdocs.yml`.

The first page is the README, and the page of the schemas is that of `schemas/`, so that each text stands once. Schemas
are served at the addresses that items name. Links that lead out of `docs/` lead to the repository; a broken one is an
error.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
ADOPTED = {"index.md": Path("README.md"), "schemas/index.md": Path("schemas/README.md")}
"""Pages of the site, and the file of the repository that each is made from."""
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]*)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside of `docs/`, and the schemas as they are."""
    for uri, source in ADOPTED.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text(encoding="utf-8")))
    for path in sorted((ROOT / "schemas").rglob("*.json")):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page into links of the site.

    Raises:
        PluginError: a link leads to nothing.
    """
    source = ADOPTED.get(page.file.src_uri, Path("docs") / page.file.src_uri)
    repository = f"{config.repo_url}/blob/main"

    def moved(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups(default="")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (ROOT / source.parent / target).resolve()
        if not path.exists():
            raise PluginError(f"{source}: {target} leads to nothing")
        return f"{before}{site_link(path, page.file.src_uri, repository)}{anchor}{after}"

    return _LINK.sub(moved, markdown)


def site_link(path: Path, page: str, repository: str) -> str:
    """The link from ``page`` of the site to a file of the repository: to its page, or else to the repository."""
    inside = path.relative_to(ROOT)
    uri = next((uri for uri, source in ADOPTED.items() if source == inside), None)
    if uri is None and inside.is_relative_to("docs"):
        uri = inside.relative_to("docs").as_posix()
    elif uri is None and inside.is_relative_to("schemas") and inside.suffix == ".json":
        uri = inside.as_posix()
    if uri is None:
        return f"{repository}/{inside.as_posix()}"
    return Path(*[".."] * page.count("/"), uri).as_posix()
