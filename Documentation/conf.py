# SPDX-License-Identifier: GPL-2.0
"""How Sphinx makes a book of these pages: `make docs`.

The kernel's Documentation/conf.py is the model, so that pages look as there and are written
as there; nothing but Sphinx itself is needed.
"""

project = "vtd"
author = copyright = "the vtd authors"

root_doc = "index"
# A section of another page is named by its page and heading, as in the kernel:
# :ref:`faults:Reason codes`.
extensions = ["sphinx.ext.autosectionlabel"]
autosectionlabel_prefix_document = True
autosectionlabel_maxdepth = 2

nitpicky = True
highlight_language = "none"
# Quotes become typographical ones, but two hyphens stay what they are: options.
smartquotes_action = "q"

html_theme = "alabaster"
html_theme_options = {
    "description": "an Intel VT-d driver for Linux, in Rust",
    "page_width": "75em",
    "sidebar_width": "16em",
    "fixed_sidebar": True,
    "font_size": "inherit",
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["sphinx-static"]
html_css_files = ["vtd.css"]
html_show_sourcelink = False
html_copy_source = False
