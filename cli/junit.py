"""The report of ``emergence check`` as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from ..compare.suite import Report

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_text(report: Report) -> str:
    """One test case a claim: a refuted one is a failure, an inconclusive one an error."""
    kinds = [verdict.verdict for verdict in report.verdicts]
    suite = ElementTree.Element(
        "testsuite", name="emergence check", tests=str(len(kinds)), failures=str(kinds.count("refuted")),
        errors=str(kinds.count("inconclusive")), time=f"{report.wall_time:.3f}",
    )  # fmt: skip
    for verdict in report.verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=verdict.claim.experiment.quantity, name=verdict.claim.name,
            time=f"{verdict.seconds:.3f}",
        )  # fmt: skip
        if verdict.verdict != "upheld":
            tag = "failure" if verdict.verdict == "refuted" else "error"
            message, text = (_NO_XML.sub("\ufffd", part) for part in (verdict.reason, str(verdict)))
            ElementTree.SubElement(case, tag, type=verdict.verdict, message=message).text = text
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True).decode() + "\n"
