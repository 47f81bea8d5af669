"""Posts a page to Slack: the day's titles, and in their thread a message a paper.

Texts are Slack's own markup, escaped, within its limits: 50 blocks a message, 3,000 characters a text.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from paperworks.errors import InputError, require
from paperworks.papers.html import anchors_of
from paperworks.papers.model import Page, Paper
from paperworks.papers.send import Journal, Sent
from paperworks.papers.text import heading, labelled_texts, with_papers
from paperworks.papers.words import counted, words_in

if TYPE_CHECKING:
    from slack_sdk import WebClient, WebhookClient
    from slack_sdk.models.blocks import Block

BLOCKS, TEXT, TITLE = 50, 3000, 150
API = "https://slack.com/api/"
SECONDS = 30
_CURES = {
    "invalid_auth": "check SLACK_BOT_TOKEN",
    "not_authed": "check SLACK_BOT_TOKEN",
    "account_inactive": "check SLACK_BOT_TOKEN",
    "token_revoked": "make a new SLACK_BOT_TOKEN",
    "token_expired": "make a new SLACK_BOT_TOKEN",
    "missing_scope": "give the app the scope chat:write",
    "channel_not_found": "give the channel's id, and invite the app to the channel",
    "not_in_channel": "invite the app to the channel",
    "is_archived": "choose another channel",
}


def send_slack(
    page: Page,
    journal: Journal,
    *,
    channel: str | None = None,
    language: str | None = None,
    link: str | None = None,
    force: bool = False,
) -> Sent:
    """Post the page to Slack.

    With a bot token (`SLACK_BOT_TOKEN`, scope `chat:write`) and a channel (`channel`, else `SLACK_CHANNEL`):
    a message with the day's titles, and in its thread a message a paper. With `SLACK_WEBHOOK_URL` instead,
    which knows no threads: the same in as few messages as hold it. `SLACK_API_URL` is another address of the
    API. `link` is where the page is on the web. Papers that `journal` lists for the place are not posted
    again, unless `force`. Rate limits are waited for. Raises `InputError` for a missing variable and for what
    Slack refuses; papers posted before that are in the journal.
    """
    require("daily", "slack_sdk")
    page, tag = with_papers(page, language)
    channel = channel or os.environ.get("SLACK_CHANNEL")
    webhook = os.environ.get("SLACK_WEBHOOK_URL")
    token = os.environ.get("SLACK_BOT_TOKEN")
    with journal.held(), _problems():
        if channel and (token or not webhook):
            client = _client(token)
            return _post_thread(client, channel, page, tag, link, journal, force)
        if webhook:
            return _post_all(_webhook(webhook), webhook, page, tag, link, journal, force)
        missing = "SLACK_CHANNEL (or --channel)" if token else "SLACK_BOT_TOKEN and SLACK_CHANNEL"
        raise InputError(f"no way into Slack: set {missing}, or SLACK_WEBHOOK_URL")


def _client(token: str | None) -> WebClient:
    from slack_sdk import WebClient

    if not token:
        raise InputError(
            "the environment variable SLACK_BOT_TOKEN is not set: put the bot's token (xoxb-…) there"
        )
    url = os.environ.get("SLACK_API_URL", API).rstrip("/") + "/"
    return WebClient(token=token, base_url=url, timeout=SECONDS, retry_handlers=_retries())


def _webhook(url: str) -> WebhookClient:
    from slack_sdk import WebhookClient

    if not re.match(r"https?://", url):
        raise InputError("SLACK_WEBHOOK_URL is no web address")
    return WebhookClient(url, timeout=SECONDS, retry_handlers=_retries())


def _retries() -> list[Any]:
    from slack_sdk.http_retry.builtin_handlers import (
        ConnectionErrorRetryHandler,
        RateLimitErrorRetryHandler,
        ServerErrorRetryHandler,
    )

    return [
        ConnectionErrorRetryHandler(max_retry_count=2),
        RateLimitErrorRetryHandler(max_retry_count=5),
        ServerErrorRetryHandler(max_retry_count=2),
    ]


@contextmanager
def _problems() -> Iterator[None]:
    """Turns what the SDK raises into one line that has no secret in it."""
    from slack_sdk.errors import SlackApiError, SlackRequestError

    try:
        yield
    except SlackApiError as error:
        code = str(error.response.get("error") or f"status {error.response.status_code}")
        if code == "ratelimited" or error.response.status_code == 429:
            raise InputError(
                "Slack asks to wait longer: run again later, it goes on with the next paper"
            ) from error
        raise InputError(
            f"Slack refuses: {code}; {_CURES.get(code, 'see the code in the API reference')}"
        ) from error
    except (SlackRequestError, OSError, HTTPException) as error:
        raise InputError(
            f"Slack cannot be reached ({type(error).__name__}): run again, it goes on there"
        ) from error


def _post_thread(
    client: WebClient, channel: str, page: Page, tag: str, link: str | None, journal: Journal, force: bool
) -> Sent:
    place = f"slack {channel}"
    entry = {} if force else journal.entry(page.date, place)
    posted: list[str] = entry.setdefault("papers", [])
    before, sent = len(posted), 0
    about: dict[str, Any] = {"channel": channel, "unfurl_links": False, "unfurl_media": False}
    if "thread" not in entry:
        for blocks in _in_messages(_overview(page, tag, link)):
            answer = client.chat_postMessage(
                text=heading(page, tag), blocks=blocks, thread_ts=entry.get("thread"), **about
            )
            entry.setdefault("thread", answer["ts"])
            sent += 1
            journal.write(page.date, place, entry)
    for paper, anchor in zip(page.papers, anchors_of(page), strict=True):
        if anchor not in posted:
            for blocks in _in_messages(_paper_blocks(paper, tag)):
                client.chat_postMessage(
                    text=_shortened(_escaped(paper.title), TITLE),
                    blocks=blocks,
                    thread_ts=entry["thread"],
                    **about,
                )
                sent += 1
            posted.append(anchor)
            journal.write(page.date, place, entry)
    return Sent(to=place, sent=sent, before=before)


def _post_all(
    client: WebhookClient, url: str, page: Page, tag: str, link: str | None, journal: Journal, force: bool
) -> Sent:
    place = f"slack webhook {hashlib.sha256(url.encode()).hexdigest()[:12]}"
    entry = {} if force else journal.entry(page.date, place)
    posted: list[str] = entry.setdefault("papers", [])
    before, sent = len(posted), 0
    waiting: list[Block] = [] if posted else _overview(page, tag, link)
    held: list[str] = []

    def flush() -> None:
        nonlocal waiting, held, sent
        for blocks in _in_messages(waiting):
            answer = client.send(
                text=heading(page, tag), blocks=blocks, unfurl_links=False, unfurl_media=False
            )
            if answer.status_code != 200:
                wait = "run again later" if answer.status_code == 429 else "check SLACK_WEBHOOK_URL"
                raise InputError(f"Slack refuses: status {answer.status_code}, {answer.body[:80]}; {wait}")
            sent += 1
        posted.extend(held)
        journal.write(page.date, place, entry)
        waiting, held = [], []

    for paper, anchor in zip(page.papers, anchors_of(page), strict=True):
        if anchor in posted:
            continue
        blocks = _paper_blocks(paper, tag)
        if len(waiting) + len(blocks) > BLOCKS:
            flush()
        waiting += blocks
        held.append(anchor)
    if held:
        flush()
    return Sent(to=place, sent=sent, before=before)


def _overview(page: Page, tag: str, link: str | None) -> list[Block]:
    from slack_sdk.models.blocks import HeaderBlock, SectionBlock

    lines = [f"*{counted(len(page.papers), tag, 'paper', 'papers')}*"]
    for place, (paper, anchor) in enumerate(zip(page.papers, anchors_of(page), strict=True), 1):
        votes = f"  ▲ {paper.votes}" if paper.votes is not None else ""
        lines.append(f"{place}. {_link(f'{link}#{anchor}' if link else paper.url, paper.title)}{votes}")
    if link:
        lines.append(_link(link, words_in(tag)["from site"]))
    texts = [""]
    for line in lines:
        if len(texts[-1]) + len(line) + 1 > TEXT:
            texts.append("")
        texts[-1] += line + "\n"
    return [HeaderBlock(text=heading(page, tag)), *(SectionBlock(text=_mrkdwn(text)) for text in texts)]


def _paper_blocks(paper: Paper, tag: str) -> list[Block]:
    from slack_sdk.models.blocks import ContextBlock, DividerBlock, SectionBlock

    facts = [f"▲ {paper.votes}"] if paper.votes is not None else []
    facts += [_shortened(_escaped(", ".join(paper.authors)), 2000)] if paper.authors else []
    facts += [_link(paper.code, words_in(tag)["code"])] if paper.code else []
    blocks: list[Block] = [
        DividerBlock(),
        SectionBlock(text=_mrkdwn(f"*{_link(paper.url, paper.title)}*")),
    ]
    if facts:
        blocks.append(ContextBlock(elements=[_mrkdwn(_shortened(" · ".join(facts), TEXT))]))
    for label, text in labelled_texts(paper, tag):
        for piece in _pieces(f"**{label}**\n{text}" if label else text):
            blocks.append(SectionBlock(text=_mrkdwn(piece)))
    return blocks


def _mrkdwn(text: str) -> Any:
    from slack_sdk.models.blocks import MarkdownTextObject

    return MarkdownTextObject(text=text.strip() or "–")


def _in_messages(blocks: Sequence[Block]) -> list[Sequence[Block]]:
    return [blocks[at : at + BLOCKS] for at in range(0, len(blocks), BLOCKS)]


def _pieces(text: str) -> list[str]:
    """Markdown as Slack's markup, in pieces of at most `TEXT` characters, cut between lines or words."""
    whole = _markup(text)
    if len(whole) <= TEXT:
        return [whole] if whole.strip() else []
    middle = len(text) // 2
    places = (text.rfind(mark, middle // 2, middle) for mark in ("\n", ". ", " "))
    cut = next((place for place in places if place > 0), middle) + 1
    return [*_pieces(text[:cut]), *_pieces(text[cut:])]


def _markup(text: str) -> str:
    text = _escaped(text)
    text = re.sub(
        r"!?\[([^\]\n]*)\]\((https?://[^\s)]+)\)",
        lambda found: f"<{found[2].replace('|', '%7C')}|{found[1] or found[2]}>",
        text,
    )
    text = re.sub(r"(\*\*|__)(?=\S)([^\n]+?)(?<=\S)\1", r"*\2*", text)
    return re.sub(r"(?m)^( *)[-*+] ", r"\1• ", text)


def _link(address: str | None, text: str) -> str:
    text = _shortened(_escaped(text).replace("|", "¦"), 1000)
    if not address or not re.match(r"https?://\S", address):
        return text
    return f"<{_escaped(address).replace('|', '%7C')}|{text}>"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shortened(text: str, length: int) -> str:
    """`text` with at most `length` characters, no entity cut in two."""
    return text if len(text) <= length else re.sub(r"&\w{0,3}$", "", text[: length - 2]) + " …"
