"""Sphinx: the documents, and the Python package as it was built (PYTHONPATH)."""

import enum
import re
from pathlib import Path

import lorajs
from pygments.lexers.special import TextLexer

project = "lorajs"
version = release = lorajs.version()
extensions = ["myst_parser", "sphinx.ext.autodoc"]
default_role = "literal"
html_theme = "furo"
html_title = f"lorajs {version}"
html_show_copyright = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
normalize = Path("/usr/share/javascript/normalize.css/normalize.css")
if normalize.exists():  # Debian's furo expects it at the root of the server
    html_static_path += [str(normalize)]
    html_css_files += [("normalize.css", {"priority": 100})]  # before the theme's own

myst_heading_anchors = 3
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"


def columns(app, what, name, obj, options, lines):
    """Docstrings that set words in two columns are lists of terms; what NamedTuple says of itself is left out."""
    made, at = [], 0  # where the second column is
    for line in lines:
        row = re.match(r"( *)([\w|][\w ,|]{0,22}[\w|]):? {2,}(?=\S)", line)
        if line.startswith(("Create new instance of", "Alias for field number")):
            continue
        if row:
            made += ([] if at else [""]) + [row[1] + row[2], f"{row[1]}    {line[row.end():]}"]
            indent, at = row[1], row.end()
        elif at and line.startswith(" " * at):
            made.append(f"{indent}    {line.strip()}")
        else:
            made.append(line)
            at = 0
    lines[:] = made


def signature(app, what, name, obj, options, given, returns):
    """Nobody makes a member of an enumeration but by its value."""
    return ("", None) if what == "class" and issubclass(obj, enum.Enum) else None


def setup(app):
    app.connect("autodoc-process-docstring", columns)
    app.connect("autodoc-process-signature", signature)
    for language in ("mermaid", "conf"):
        app.add_lexer(language, TextLexer)
