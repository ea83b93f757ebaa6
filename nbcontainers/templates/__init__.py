"""Go's text templates, which docker's users write: ``--format`` of every face, ``tag`` among the options of a log.

They know nothing of containers, and both sides of the waist use them. Read ``reading`` first, then ``functions``.

    >>> from nbcontainers.templates import parse
    >>> parse("{{.Name | upper}}").render({"Name": "web"})
    'WEB'
"""

from nbcontainers.templates.functions import to_json
from nbcontainers.templates.reading import Template, TemplateError, parse

__all__ = ["Template", "TemplateError", "parse", "to_json"]
