# SPDX-License-Identifier: GPL-2.0
"""`make docs`: the pages as HTML. `make pictures`: the pictures that have a text source.

The pages show the committed SVG files, so that a forge can show them, too. Each is next
to the text from which graphviz draws it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

from vtdlab import cache as lab
from vtdlab import progress

TIMEOUT = 300
# Coordinates, which a new version of a font or of graphviz may change slightly.
PLACES = {"points", "d", "x", "y", "cx", "cy", "rx", "ry", "width", "height", "viewBox",
          "transform", "id"}
WARNING = re.compile(r": (?:WARNING|ERROR|CRITICAL): |^(?:WARNING|ERROR): |Error:$")


def sphinx(source, html, doctrees):
    """Returns the command line that builds the pages of a folder; a warning is a failure."""
    return [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-N", "-E",
            "-j", str(lab.jobs()), "-d", str(doctrees), str(source), str(html)]


def warnings(log):
    """Returns Sphinx's complaints, a line each."""
    return "\n".join(line for line in log.splitlines() if WARNING.search(line))


def drawn(source):
    """Returns the SVG that graphviz draws from a text source, with its licence and source."""
    text = subprocess.run(["dot", "-Tsvg", str(source)], check=True, capture_output=True, text=True,
                          timeout=TIMEOUT).stdout
    body = re.sub(r"<!--.*?-->\n?", "", text[text.index("<svg"):], flags=re.S)
    return ("<!-- SPDX-License-Identifier: GPL-2.0 -->\n"
            f"<!-- Drawn from {source.name} by 'make pictures'; change that. -->\n{body}")


def essence(svg):
    """Returns the words and colours of a picture, without coordinates."""
    found = []
    for element in xml.fromstring(svg).iter():
        kept = sorted(item for item in element.attrib.items() if item[0] not in PLACES)
        found.append((element.tag, kept, (element.text or "").strip()))
    return found


def sources():
    """Returns every text that a picture is drawn from."""
    return sorted((lab.checkout() / "Documentation/pictures").glob("*.dot"))


def add_arguments(parser):
    """Adds the options; without --pictures the pages are built."""
    parser.add_argument("--pictures", action="store_true",
                        help="draw the pictures again from their text sources")


def _pictures():
    for source in sources():
        target = source.with_suffix(".svg")
        target.write_text(drawn(source), encoding="utf-8")
        lab.say("picture", target.relative_to(lab.checkout()))


def main(args):
    """Builds, and prints the path of the first page."""
    if args.pictures:
        _pictures()
        return 0
    top = lab.checkout()
    html = top / "out/docs"
    shutil.rmtree(html, ignore_errors=True)
    with tempfile.TemporaryDirectory() as doctrees:
        progress.run("docs", "Documentation as HTML",
                     sphinx(top / "Documentation", html, doctrees), html.with_suffix(".log"),
                     timeout=TIMEOUT, digest=warnings)
    lab.say("docs", (html / "index.html").relative_to(top))
    return 0
