"""XML as the clients of the command API expect it, byte for byte.

Declaration, one empty line, then the root with a default namespace and no prefix: clients look for exactly this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from django.conf import settings
from rest_framework.renderers import BaseRenderer

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n\n'
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text without the characters that XML 1.0 cannot carry."""
    return _NOT_XML.sub("", text)


def element(
    name: str, content: str | Iterable[ET.Element | None] = "", attributes: Mapping[str, str] | None = None
) -> ET.Element:
    """An element with a text or with children; children that are None are left out."""
    made = ET.Element(name, {key: clean(value) for key, value in (attributes or {}).items()})
    if isinstance(content, str):
        made.text = clean(content)
    else:
        made.extend([child for child in content if child is not None])
    return made


def optional(name: str, text: str | None, attributes: Mapping[str, str] | None = None) -> ET.Element | None:
    """An element, or None when there is nothing to say."""
    return None if not text else element(name, text, attributes)


def error(text: str) -> ET.Element:
    """The document that tells what went wrong."""
    return element("error", text)


def document(root: ET.Element) -> bytes:
    """The bytes of an answer whose root is `root`."""
    named = ET.Element(root.tag, {"xmlns": settings.XML_NAMESPACE, **root.attrib})
    named.text = root.text
    named.extend(root)
    ET.indent(named, "\t")
    return f"{DECLARATION}{ET.tostring(named, encoding='unicode')}\n".encode()


class CommandRenderer(BaseRenderer):
    """Renders an element as a document of the command API."""

    media_type = "text/xml"
    format = "xml"
    charset = "UTF-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """The bytes of `data`, an element; whatever else arrives here is an error of the framework."""
        return document(data if isinstance(data, ET.Element) else error("The request could not be answered."))
