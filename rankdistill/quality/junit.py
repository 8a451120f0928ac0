"""A judged metrics.json as JUnit XML: a test case per measure, for CI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml

from rankdistill.quality.words import plain, reaches, reasons, value_of

# Declarations and comments, then the root.
ROOT = re.compile(r"\ufeff?\s*(<\?.*?\?>\s*|<!--.*?-->\s*)*<testsuites?[\s/>]", re.DOTALL)


def is_junit(start: str) -> bool:
    """Whether a file that starts so is JUnit XML, of whatever tool."""
    return ROOT.match(start) is not None


def junit(document: Mapping[str, Any], fail_on: str) -> str:
    """The XML. fail_on: verdict from which on a case has failed; never: none has."""
    suite = Xml.Element("testsuite", name="rankdistill check")
    for measure in document["measures"]:
        name = f"{plain(measure['id'], 20)} {plain(measure['name'])}"
        case = Xml.SubElement(suite, "testcase", classname="rankdistill.quality", name=name)
        told = "; ".join(reasons(measure))
        verdict = measure["verdict"]
        if verdict == "not applicable":
            Xml.SubElement(case, "skipped", message=plain(measure["why"]))
            continue
        if reaches(verdict, fail_on):
            failure = Xml.SubElement(case, "failure", type=verdict, message=plain(told))
            failure.text = told
        value = value_of(measure, measure["value"])
        Xml.SubElement(
            case, "system-out"
        ).text = f"{verdict}: {plain(measure['what'])} {value}, n {measure['n']:,}; {told}".rstrip(
            "; "
        )
    for name, tag in (("failures", "failure"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("errors", "0")
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
