"""Sphinx: the documents, and the Python package as it was built (PYTHONPATH)."""

import re

import lorajs
from pygments.lexers.special import TextLexer

project = "lorajs"
version = release = lorajs.version()
extensions = ["myst_parser", "sphinx.ext.autodoc"]
default_role = "literal"
html_theme = "furo"
html_title = f"lorajs {version}"

myst_heading_anchors = 3
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"


def keep_columns(app, what, name, obj, options, lines):
    """Docstrings that set words in columns keep their lines."""
    for i, line in enumerate(lines):
        if re.match(r" *\S+ {2,}\S", line):
            lines[i] = re.sub(r"(?=\S)", "| ", line, count=1)


def setup(app):
    app.connect("autodoc-process-docstring", keep_columns)
    for language in ("mermaid", "conf"):
        app.add_lexer(language, TextLexer)
