"""How the manual is built: Sphinx, MyST for Markdown, numpydoc for docstrings, the pydata theme.

Pages stay plain Markdown that a code host shows as well; what a book needs beyond that (a table of
contents, pages of the API) is made by the small extensions in ``_manual``. Nothing on a page comes
from the network: no fonts, scripts or pictures of others.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from kvring import __version__  # noqa: E402

project = "kvring"
author = "the kvring authors"
project_copyright = "the kvring authors, MIT licence"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "_manual.contents",
    "_manual.api",
    "_manual.commands",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
exclude_patterns = ["_manual", "_static", "examples/**/target/**", "examples/**/build/**"]
nitpicky = False

# Headings as a code host anchors them: `page.md#the-protocol`.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

autosummary_generate = False
autodoc_member_order = "bysource"
# Docstrings name types in words; annotations would only make signatures too long for a phone.
autodoc_typehints = "none"
autodoc_mock_imports = ["torch", "transformers"]
numpydoc_show_class_members = True
# RingCache's base may be a stand-in, which has methods that it has not.
numpydoc_show_inherited_class_members = {"kvring.adapters.transformers.RingCache": False}
numpydoc_class_members_toctree = False
python_use_unqualified_type_names = True
add_module_names = False
# On the right of a page: update(), not KVCache.update(), which would be cut off.
toc_object_entries_show_parents = "hide"

# A block without a language is text: slots, JSON, output. Sessions with >>> keep their colours.
highlight_language = "text"
# Quotation marks stand around values, which a reader may copy.
smartquotes = False

html_theme = "pydata_sphinx_theme"
html_title = "kvring"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "kvring"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
html_sidebars = {"index": []}
pygments_style = "a11y-high-contrast-light"
