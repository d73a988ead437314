"""Links of the docs' site: what lies outside of `docs/` is on the repository's pages."""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(\]\()((?:\.\./)+[^)\s]+)(\))")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: object) -> str:  # noqa: ANN401 (mkdocs calls it with its own)
    """Return a page whose links out of the folder lead to the repository; a hook of mkdocs."""
    here = posixpath.dirname(page.file.src_uri)
    main = f"{config.repo_url.rstrip('/')}/blob/main/"

    def replace(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, found[2]))
        inside = target.startswith("docs/")
        return found[0] if inside else f"{found[1]}{main}{target}{found[3]}"

    return _LINK.sub(replace, markdown)
