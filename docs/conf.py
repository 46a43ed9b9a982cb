"""Configuration of the documentation site for Sphinx. `make docs` builds it."""

project = "Klever"
author = "The Klever authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Klever"
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 3
"""Levels of headings that links such as `operations.md#metrics` can name."""
suppress_warnings = ["misc.highlighting_failure"]
