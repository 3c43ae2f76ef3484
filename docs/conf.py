"""Sphinx: pages in Markdown (MyST), reference from the docstrings (numpydoc), theme furo."""

from __future__ import annotations

import re

import emergence

project = "sgd-emergence"
author = copyright = "the sgd-emergence developers"
version = release = emergence.__version__
html_title = f"{project} {version}"
html_theme = "furo"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "imported-members": True}
autodoc_type_aliases = {"Array": "Array", "ArrayLike": "ArrayLike"}  # as in the code, not what they stand for
numpydoc_show_class_members = False  # autodoc lists them
python_use_unqualified_type_names = True

# Names in signatures that lead nowhere here: those of other libraries, and of our own what users meet as a result only.
nitpick_ignore_regex = [
    ("py:class", r"Array|ArrayLike|dict\[str|(collections|concurrent|matplotlib|numpy|os|pathlib|sympy)\..*"),
    ("py:class", r"emergence\..*\.(Calibration|Exponent|Failure|Formula|Point|Shelf|Regularity|Setting|Stack)"),
]


def _plain_aliases(app, what, name, obj, options, signature, returns):
    """Sphinx writes an alias inside a union as ``TypeAliasForwardRef('Array')``."""
    return tuple(text and re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text) for text in (signature, returns))


def setup(app):
    app.connect("autodoc-process-signature", _plain_aliases)
