"""Who opened a mail or followed a link: a person, a machine, or nobody can say. By rules, each with its reason. Pure.

Mail providers fetch pictures before anybody looks, scanners follow every link. What is told here is never thrown away: reports show all three.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PERSON: Final = "person"
MACHINE: Final = "machine"
UNKNOWN: Final = "unknown"

SOON_S: Final = 2  # after it left, nobody has read it yet
BURST_S: Final = 2  # nobody follows so many links in so many seconds
BURST_LINKS: Final = 3
UNSEEN_S: Final = 10  # around a visit to the link that no person sees


@dataclass(frozen=True, slots=True)
class Rule:
    """`agent` is looked for in the name that the visitor gives itself, without regard to capitals."""

    name: str
    by: str
    agent: re.Pattern[str]


def _rule(name: str, by: str, agent: str) -> Rule:
    return Rule(name, by, re.compile(agent, re.IGNORECASE))


# The first that fits says who it was.
RULES: Final = (
    # Apple Mail's privacy protection fetches all pictures of all mails, and names itself so and nothing more.
    _rule("apple privacy", MACHINE, r"^Mozilla/5\.0$"),
    # These fetch for somebody who opens, and ahead of him too; they do not say which.
    _rule("google image proxy", UNKNOWN, r"GoogleImageProxy|ggpht\.com"),
    _rule("yahoo proxy", UNKNOWN, r"YahooMailProxy|Yahoo Mail Proxy"),
    _rule("outlook proxy", UNKNOWN, r"Outlook-?Image|OutlookProxy"),
    _rule(
        "scanner",
        MACHINE,
        r"safelinks|barracuda|mimecast|proofpoint|urldefense|ironport|messagelabs|symantec|trend ?micro|fireeye|trellix|sophos|bitdefender|kaspersky|"
        r"forcepoint|fortiguard|zscaler|cloudmark|cisco|avanan|vade|virustotal|phish|scanner|security",
    ),
    _rule("preview", MACHINE, r"bingpreview|facebookexternalhit|slackbot|twitterbot|whatsapp|telegrambot|linkedinbot|discordbot|skypeuripreview|preview"),
    _rule("program", MACHINE, r"bot\b|crawl|spider|headless|phantomjs|curl/|wget/|python|httpx|aiohttp|java/|okhttp|go-http|axios|node-fetch|libwww|ruby|php/"),
    _rule("browser", PERSON, r"^(Mozilla/5\.0|Opera/9\.80) ?\("),
    _rule("mail program", PERSON, r"Outlook|Thunderbird|AppleMail|Airmail|Lotus-Notes|Spark/"),
)


def who(method: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Who it was by what the request says of itself, and by which rule. When it came says more: see `traces`."""
    if method == "HEAD":
        return MACHINE, "head"
    purpose = " ".join(headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")).lower()
    if "prefetch" in purpose or "preview" in purpose or "prerender" in purpose:
        return MACHINE, "prefetch"
    agent = headers.get("User-Agent", "").strip()
    for rule in RULES:
        if rule.agent.search(agent):
            return rule.by, rule.name
    return UNKNOWN, "no rule"
