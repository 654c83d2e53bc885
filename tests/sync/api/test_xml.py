"""The bytes of a document."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from sync.api.xml import CommandRenderer, clean, document, element, error, optional


def test_a_document_is_declaration_empty_line_and_root_with_a_default_namespace():
    root = element("health_check", [element("appliance", "site1", {"id": "ab"}), element("success", "1")])
    assert document(root) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"\n"
        b'<health_check xmlns="http://www.bomgar.com/namespaces/API/command">\n'
        b'\t<appliance id="ab">site1</appliance>\n'
        b"\t<success>1</success>\n"
        b"</health_check>\n"
    )


def test_an_error_is_a_root_with_a_text():
    assert document(error("a < b & c")) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n\n'
        b'<error xmlns="http://www.bomgar.com/namespaces/API/command">a &lt; b &amp; c</error>\n'
    )


def test_the_namespace_is_a_setting(settings):
    settings.XML_NAMESPACE = "https://example.com/api"
    assert b'<error xmlns="https://example.com/api">' in document(error("x"))


def test_what_there_is_nothing_to_say_about_is_left_out():
    assert len(element("a", [optional("b", None), optional("c", ""), optional("d", "1")])) == 1


@pytest.mark.parametrize("code", [0, 1, 8, 11, 12, 27, 31, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF])
def test_characters_that_xml_cannot_carry_are_left_out(code: int):
    root = element("a", f"x{chr(code)}y", {"id": f"x{chr(code)}y"})
    parsed = ET.fromstring(document(root))
    assert (parsed.text, parsed.get("id")) == ("xy", "xy")


def test_all_other_characters_are_kept():
    text = "tab\t Ünï ‮ 日本 \U0001f600 ]]> <!-- &amp; \"'"
    assert clean(text) == text
    assert ET.fromstring(document(element("a", text))).text == text


def test_what_is_no_document_is_rendered_as_an_error():
    assert b"<error " in CommandRenderer().render({"detail": "x"})
