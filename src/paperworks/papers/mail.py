"""Mails a page: to each reader a message of their own, plain text with HTML beside it."""

from __future__ import annotations

import datetime
import hashlib
import os
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from paperworks.errors import InputError
from paperworks.papers.html import environment
from paperworks.papers.model import Page
from paperworks.papers.send import Journal, Sent
from paperworks.papers.text import heading, labelled_texts, text_of, with_papers
from paperworks.papers.words import counted, words_in

SECONDS = 30
OWN = ("localhost", "127.0.0.1", "::1")


def send_email(
    page: Page,
    journal: Journal,
    to: Sequence[str],
    *,
    sender: str | None = None,
    language: str | None = None,
    link: str | None = None,
    force: bool = False,
) -> Sent:
    """Send the page to each address of `to`, a message of its own each, as plain text with HTML beside it.

    `SMTP_HOST` names the server; `SMTP_PORT` (default 587), `SMTP_USER` and `SMTP_PASSWORD`, `SMTP_FROM` (for
    `sender`). The connection is encrypted: TLS from the start on port 465, else STARTTLS; `SMTP_SECURITY`
    (`ssl`, `starttls` or `none`) says otherwise. A password is never sent in the clear except to this machine
    itself. Addresses that `journal` lists for the day get nothing, unless `force`. Raises `InputError` for a
    missing variable, a wrong address and what the server refuses; an address that it refuses does not keep
    the others from theirs.
    """
    page, tag = with_papers(page, language)
    sender = sender or os.environ.get("SMTP_FROM") or os.environ.get("SMTP_USER")
    if not sender:
        raise InputError("no sender: set the environment variable SMTP_FROM or give --from")
    if not to:
        raise InputError("nobody to send to: give an address with --to")
    readers = list({address.addr_spec: address for address in map(_address, to)}.values())
    message = _message(page, tag, _address(sender), link)
    refused: dict[str, str] = {}
    sent = 0
    with journal.held():
        waiting = [
            reader for reader in readers if force or not journal.entry(page.date, f"email {reader.addr_spec}")
        ]
        if waiting:
            with _smtp() as server:
                for reader in waiting:
                    try:
                        server.send_message(_addressed(message, reader, page))
                    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:
                        refused[reader.addr_spec] = _smtp_answer(error)
                        continue
                    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                    journal.write(page.date, f"email {reader.addr_spec}", {"at": now})
                    sent += 1
    if refused:
        first, answer = next(iter(refused.items()))
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise InputError(
            f"the server refuses {first}{more}: {answer}; {sent} sent, correct --to and run again"
        )
    return Sent(
        to=", ".join(reader.addr_spec for reader in readers), sent=sent, before=len(readers) - len(waiting)
    )


def _address(text: str) -> Address:
    message = EmailMessage()
    try:
        message["To"] = text
        (address,) = message["To"].addresses
        sound = address.username and address.domain and not message["To"].defects
    except (ValueError, IndexError):
        sound = False
    if not sound:
        raise InputError(f"{text!r} is no e-mail address: write name@example.org or Name <name@example.org>")
    return address


def _message(page: Page, tag: str, sender: Address, link: str | None) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"{heading(page, tag)} · {counted(len(page.papers), tag, 'paper', 'papers')}"
    message["From"] = sender
    message["Date"] = format_datetime(datetime.datetime.now(datetime.UTC))
    message.set_content(text_of(page, tag, link))
    papers = [{"paper": paper, "texts": labelled_texts(paper, tag)} for paper in page.papers]
    html = (
        environment()
        .get_template("email.html.j2")
        .render(
            heading=heading(page, tag),
            papers=papers,
            tag=tag,
            w=words_in(tag),
            link=link,
            own=page.language or tag,
        )
    )
    message.add_alternative(html, subtype="html")
    return message


def _addressed(message: EmailMessage, reader: Address, page: Page) -> EmailMessage:
    """The message to one reader; its id is the day's and the reader's, so that a copy can be known as one."""
    del message["To"], message["Message-ID"]
    message["To"] = reader
    digest = hashlib.sha256(f"{page.date} {reader.addr_spec}".encode()).hexdigest()[:24]
    message["Message-ID"] = f"<{page.date}.{digest}@{message['From'].addresses[0].domain}>"
    return message


@contextmanager
def _smtp() -> Iterator[smtplib.SMTP]:
    host, user, password = (os.environ.get(name) for name in ("SMTP_HOST", "SMTP_USER", "SMTP_PASSWORD"))
    if not host:
        raise InputError(
            "the environment variable SMTP_HOST is not set: name the server that sends your mail"
        )
    if user and not password:
        raise InputError("the environment variable SMTP_PASSWORD is not set, and SMTP_USER is")
    text = os.environ.get("SMTP_PORT") or "587"
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise InputError(f"SMTP_PORT is {text!r}: give a port such as 587 or 465")
    port = int(text)
    security = os.environ.get("SMTP_SECURITY") or ("ssl" if port == 465 else "starttls")
    if security not in ("ssl", "starttls", "none"):
        raise InputError(f"SMTP_SECURITY is {security!r}: give ssl, starttls or none")
    if security == "none" and user and host not in OWN:
        raise InputError("SMTP_SECURITY=none would send SMTP_PASSWORD in the clear: choose starttls or ssl")
    where = f"{host}:{port}"
    try:
        context = ssl.create_default_context()
        if security == "ssl":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=SECONDS)
        with server:
            if security == "starttls":
                server.starttls(context=context)
            if user and password:
                server.login(user, password)
            yield server
    except smtplib.SMTPAuthenticationError as error:
        raise InputError(f"{where} refuses the login: check SMTP_USER and SMTP_PASSWORD") from error
    except smtplib.SMTPNotSupportedError as error:
        raise InputError(f"{where} cannot do what is asked ({error}): see SMTP_SECURITY") from error
    except smtplib.SMTPException as error:
        raise InputError(f"{where} refuses: {_smtp_answer(error)}") from error
    except ssl.SSLError as error:
        raise InputError(
            f"no safe connection to {where} ({error.reason or error}): see SMTP_SECURITY"
        ) from error
    except OSError as error:
        raise InputError(f"{where} cannot be reached ({error}): check SMTP_HOST and SMTP_PORT") from error


def _smtp_answer(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
        return f"{code} {answer.decode(errors='replace')}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    return str(error) or type(error).__name__
