"""Email addresses: which ones mail can go to, and when two spellings are one."""

import re
import unicodedata
from typing import Final

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# What shows nothing and is no format character, which the library refuses by itself: Unicode's
# Default_Ignorable_Code_Point, and the blank pattern of Braille.
INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

NUMERIC_ADDRESS: Final = re.compile(r"@([^@]*\.)?\d+\s*$")  # no top-level domain is a number

SPECIAL_USE_DOMAIN_NAMES.clear()  # localhost, .test and .local are names in somebody's network


def is_mailable(email: str) -> bool:
    """Whether mail could go to such an address; nothing is looked up.

    The domain must be one by IDNA 2008, if only of a local network, and no character may be
    invisible.
    """
    if INVISIBLE.search(email) or NUMERIC_ADDRESS.search(email):
        return False
    try:
        validate_email(email.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return False
    return True


def canonical(email: str) -> str:
    """The one spelling under which an address is unique.

    Trimmed, NFKC, casefolded, and the domain as DNS spells it, ``xn--`` and all. By casefolding
    alone straße.example would be strasse.example, which is somebody else's.
    """
    local, at, domain = email.strip().rpartition("@")
    return _folded(local) + at + _as_in_dns(domain)


def _as_in_dns(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:  # one that no mail can go to
        return _folded(domain)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
