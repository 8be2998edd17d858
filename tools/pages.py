"""Fill parts of pages from files of results."""

import re
from collections.abc import Mapping


def fill(page: str, parts: Mapping[str, str]) -> str:
    """The page with each part between its two comments, `<!-- results:NAME -->` and `<!-- end -->`."""
    for name, text in parts.items():
        pattern = rf"(<!-- results:{name} -->\n).*?(<!-- end -->)"
        page, count = re.subn(pattern, lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"the page must hold the part {name!r} once, got {count}")
    return page
