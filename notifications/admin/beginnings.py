"""What a new campaign can begin with: small mails that are right in every reader, to be written over."""

from dataclasses import dataclass
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

OFFER: Final = """<mjml>
  <mj-head><mj-attributes>
    <mj-all font-family="Helvetica, Arial, sans-serif" />
    <mj-text font-size="16px" line-height="1.5" color="#1f2933" />
  </mj-attributes></mj-head>
  <mj-body background-color="#f4f6f8">
    <mj-section background-color="#ffffff" padding="32px 16px 8px"><mj-column>
      <mj-text font-size="24px" font-weight="bold">{{ headline }}</mj-text>
      <mj-text>{{ greeting }}</mj-text>
      <mj-text>{{ story }}</mj-text>
      <mj-button href="https://example.com/" background-color="#14627a" border-radius="6px">{{ button }}</mj-button>
    </mj-column></mj-section>
  </mj-body>
</mjml>
"""
LETTER: Final = """<p>{{ greeting }}</p>
<p>{{ story }}</p>
<p><a href="https://example.com/">{{ button }}</a></p>
"""


@dataclass(frozen=True)
class Beginning:
    name: str
    label: str | Promise
    says: str | Promise
    kind: str
    body: str


BEGINNINGS: Final = (
    Beginning("offer", _("An offer"), _("Headline, some lines, a button. MJML, so it fits every mail program."), "mjml", OFFER),
    Beginning("letter", _("A letter"), _("A few lines in plain HTML."), "html", LETTER),
)


def beginning(name: str) -> dict[str, Any]:
    """A variant's words in the reader's language."""
    chosen = next((one for one in BEGINNINGS if one.name == name), BEGINNINGS[0])
    words = {
        "headline": str(_("Something new is waiting for you")),
        "greeting": str(_("Hello %(name)s,")) % {"name": "{{ attributes.first_name | default: 'there' }}"},
        "story": str(_("Say in two or three lines what is worth a visit.")),
        "button": str(_("See what is new")),
    }
    body = chosen.body
    for placed, text in words.items():
        body = body.replace("{{ " + placed + " }}", text)
    return {"subject": words["headline"], "preheader": "", chosen.kind: body, "text": None}
