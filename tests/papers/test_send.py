"""A page on its way to Slack and to mail readers, against servers on loopback that answer as the real ones do."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.cells import cell_len
from test_html import Document

from paperworks.errors import InputError
from paperworks.papers import FigureCheck, Page, Paper, load_page
from paperworks.papers.mail import send_email
from paperworks.papers.model import Provenance
from paperworks.papers.send import Journal, send_file
from paperworks.papers.slack import send_slack
from paperworks.papers.text import render_text

controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
smtp = pytest.importorskip("aiosmtpd.smtp")

TOKEN = "xoxb-a-secret"
EVIL = Paper(
    title="A & B <!channel> | *C*",
    arxiv_id="2401.00001",
    votes=7,
    authors=["<@U1> & co"],
    code="https://example.org/code?a=1&b=2|3",
    sections={"What's New": "**굵게** 5 < 6 & [여기](https://example.org/a|b) <!here>\n- 하나\n- 둘"},
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLACK_", "SMTP_")):
            monkeypatch.delenv(name)


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / ".sent.json")


@pytest.fixture(scope="module")
def page() -> Page:
    return load_page("2024-08-22")


class Slack:
    """Plays chat.postMessage and a webhook. `script` holds answers (status, headers, body) to give first."""

    def __init__(self) -> None:
        self.posts: list[dict] = []
        self.times: list[float] = []
        self.tokens: set[str | None] = set()
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                slack.tokens.add(self.headers.get("Authorization"))
                slack.times.append(time.monotonic())
                if slack.script:
                    return self.reply(*slack.script.pop(0))
                if "json" in self.headers["Content-Type"]:
                    post = json.loads(body)
                else:
                    post = dict(urllib.parse.parse_qsl(body.decode()))
                    post["blocks"] = json.loads(post["blocks"])
                slack.posts.append(post)
                answer = {"ok": True, "ts": f"17.{len(slack.posts):04}", "channel": post.get("channel")}
                webhook = self.path.startswith("/services")
                return self.reply(200, {}, b"ok" if webhook else json.dumps(answer).encode())

            def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def texts(self) -> list[str]:
        """Every text of every block, within Slack's limits."""
        found = []
        for post in self.posts:
            assert 1 <= len(post["blocks"]) <= 50
            assert post["text"]
            for block in post["blocks"]:
                texts = block.get("elements") or ([block["text"]] if "text" in block else [])
                for text in texts:
                    assert 1 <= len(text["text"]) <= (150 if block["type"] == "header" else 3000)
                    found.append(text["text"])
        return found


@pytest.fixture
def slack(monkeypatch):
    slack = Slack()
    monkeypatch.setenv("SLACK_API_URL", slack.url)
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    yield slack
    slack.server.shutdown()
    slack.server.server_close()


LIMITED = (
    429,
    {"Retry-After": "1", "Content-Type": "application/json"},
    b'{"ok": false, "error": "ratelimited"}',
)


def refusal(code: str) -> tuple[int, dict[str, str], bytes]:
    return (200, {"Content-Type": "application/json"}, json.dumps({"ok": False, "error": code}).encode())


def test_a_page_is_a_message_with_the_titles_and_a_thread_with_a_message_a_paper(slack, page, journal):
    done = send_slack(page, journal, channel="C1", link="https://example.org/2024/08/22.html")
    assert (done.sent, done.before) == (12, 0)
    first, *thread = slack.posts
    assert "thread_ts" not in first
    assert {post["thread_ts"] for post in thread} == {"17.0001"}
    assert {post["channel"] for post in slack.posts} == {"C1"}
    assert slack.tokens == {f"Bearer {TOKEN}"}
    assert first["blocks"][0]["text"]["text"] == "오늘의 논문 · 2024년 8월 22일"
    texts = slack.texts()
    for paper, post in zip(page.papers, thread, strict=True):
        assert paper.title in post["text"]
        assert any(f"22.html#{paper.arxiv_id}|" in text for text in texts)
        whole = "\n".join(block["text"]["text"] for block in post["blocks"] if block["type"] == "section")
        for name, text in paper.sections.items():
            assert text.split()[0] in whole, name
        assert "*새로운 점*" in whole


def test_what_slack_would_read_as_markup_is_escaped(slack, journal):
    send_slack(Page(date="2024-01-02", papers=[EVIL]), journal, channel="C1", language="en")
    texts = "\n".join(slack.texts())
    for bad in ("<!", "<@", " & "):
        assert bad not in texts
    assert "<https://arxiv.org/abs/2401.00001|A &amp; B &lt;!channel&gt; ¦ *C*>" in texts
    assert "<https://example.org/code?a=1&amp;b=2%7C3|Code>" in texts
    assert "*굵게* 5 &lt; 6 &amp; <https://example.org/a%7Cb|여기> &lt;!here&gt;\n• 하나\n• 둘" in texts


def test_texts_and_titles_of_any_length_stay_within_slacks_limits_and_lose_nothing(slack, journal):
    long = " ".join(f"word{number}&" for number in range(20000))
    papers = [
        Paper(
            title="T" * 4000,
            authors=["A" * 5000],
            bullets=[long],
            unplaced=["<" * 7000],
            arxiv_id="2401.00001",
        ),
        *(Paper(title=f"Paper {number} " + "x" * 300) for number in range(120)),
    ]
    send_slack(Page(date="2024-01-02", papers=papers), journal, channel="C1")
    texts = slack.texts()
    whole = " ".join(texts).split()
    assert [word for word in whole if word.startswith("word")] == [
        f"word{number}&amp;" for number in range(20000)
    ]
    assert "".join(texts).count("&lt;") == 7000


def test_running_again_posts_nothing_and_force_posts_all(slack, page, journal):
    send_slack(page, journal, channel="C1")
    again = send_slack(page, journal, channel="C1")
    assert (again.sent, again.before, len(slack.posts)) == (0, 11, 12)
    assert send_slack(page, journal, channel="C2").sent == 12
    assert send_slack(page, journal, channel="C1", force=True).sent == 12
    assert slack.posts[-1]["thread_ts"] == "17.0025"


def test_a_rate_limit_is_waited_for_as_long_as_slack_asks(slack, journal):
    slack.script = [LIMITED, LIMITED]
    send_slack(Page(date="2024-01-02", papers=[EVIL]), journal, channel="C1")
    assert len(slack.posts) == 2
    first, second, third, *_ = slack.times
    assert second - first >= 1
    assert third - second >= 1


def test_a_run_that_breaks_off_goes_on_with_the_papers_that_are_missing(slack, page, journal):
    send_slack(page.model_copy(update={"papers": page.papers[:4]}), journal, channel="C1")
    slack.script = [refusal("fatal_error")]
    with pytest.raises(InputError, match="Slack refuses: fatal_error"):
        send_slack(page, journal, channel="C1")
    slack.posts.clear()
    voted = page.model_copy(update={"papers": page.papers[::-1]})
    done = send_slack(voted, journal, channel="C1")
    assert (done.sent, done.before) == (7, 4)
    assert [post["text"] for post in slack.posts] == [paper.title for paper in voted.papers[:7]]
    assert {post["thread_ts"] for post in slack.posts} == {"17.0001"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal("invalid_auth"), ("invalid_auth", "SLACK_BOT_TOKEN")),
        (refusal("channel_not_found"), ("invite the app",)),
        (refusal("missing_scope"), ("chat:write",)),
        ((200, {"Content-Type": "text/html"}, b"<p>Welcome to the hotel"), ("Slack",)),
        ((404, {}, b""), ("Slack",)),
    ],
)
def test_what_slack_refuses_is_one_line_without_the_token(slack, journal, answer, words):
    slack.script = [answer]
    with pytest.raises(InputError) as caught:
        send_slack(Page(date="2024-01-02", papers=[EVIL]), journal, channel="C1")
    assert all(word in str(caught.value) for word in words), caught.value
    assert TOKEN not in str(caught.value)
    assert not journal.path.exists()


def test_a_slack_that_is_not_there_is_one_line(monkeypatch, journal):
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    with pytest.raises(InputError, match="cannot be reached"):
        send_slack(Page(date="2024-01-02", papers=[EVIL]), journal, channel="C1")


@pytest.mark.parametrize(
    ("variables", "channel", "words"),
    [
        ({}, None, "SLACK_BOT_TOKEN and SLACK_CHANNEL"),
        ({}, "C1", "SLACK_BOT_TOKEN is not set"),
        ({"SLACK_BOT_TOKEN": TOKEN}, None, "SLACK_CHANNEL"),
        ({"SLACK_WEBHOOK_URL": "secret"}, None, "SLACK_WEBHOOK_URL is no web address"),
    ],
)
def test_a_missing_variable_of_slack_is_named(monkeypatch, journal, page, variables, channel, words):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        send_slack(page, journal, channel=channel)


def test_a_webhook_gets_all_papers_in_as_few_messages_as_hold_them(slack, page, journal, monkeypatch):
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", f"{slack.url}services/T0/B0/secret")
    slack.script = [(429, {"Retry-After": "1"}, b"rate_limited")]
    done = send_slack(page, journal)
    assert done.sent == len(slack.posts) == 2
    titles = "\n".join(slack.texts())
    assert all(titles.count(f"{paper.title}>") == 2 for paper in page.papers)
    assert send_slack(page, journal).sent == 0
    assert "secret" not in journal.path.read_text()
    slack.script = [(404, {}, b"no_service")]
    with pytest.raises(InputError, match="no_service; check SLACK_WEBHOOK_URL"):
        send_slack(page, journal, force=True)


def test_a_page_without_papers_is_not_sent(journal):
    with pytest.raises(InputError, match="nothing to send"):
        send_slack(Page(date="2024-01-02"), journal, channel="C1")


def test_a_journal_that_is_broken_or_held_stops_the_run_before_it_posts(slack, page, journal):
    journal.path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        send_slack(page, journal, channel="C1")
    journal.path.write_text('{"format": "other"}')
    with pytest.raises(InputError, match="no journal"):
        send_slack(page, journal, channel="C1")
    journal.path.unlink()
    with journal.held(), pytest.raises(InputError, match="another run"):
        send_slack(page, Journal(journal.path), channel="C1")
    assert slack.posts == []


class Box:
    """Keeps what arrives; refuses addresses at full.example."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], bytes]] = []

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address.endswith("@full.example"):
            return "552 Mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        self.letters.append((list(envelope.rcpt_tos), envelope.content))
        return "250 OK"

    def messages(self):
        return [message_from_bytes(content, policy=policy.default) for _, content in self.letters]


def accepts(server, session, envelope, mechanism, data) -> smtp.AuthResult:
    right = data.login == b"me" and data.password == b"a secret"
    return smtp.AuthResult(success=right, handled=False)


@pytest.fixture
def post_office(monkeypatch):
    """Starts a mail server and names it in the environment."""
    running = []

    def start(security: str = "none", **options) -> Box:
        box = Box()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = controller.Controller(box, hostname="127.0.0.1", port=port, **options)
        server.start()
        running.append(server)
        monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("SMTP_PORT", str(port))
        monkeypatch.setenv("SMTP_SECURITY", security)
        monkeypatch.setenv("SMTP_FROM", "논문 <papers@example.org>")
        return box

    yield start
    for server in running:
        server.stop(no_assert=True)


def test_each_reader_gets_a_message_in_text_and_html(post_office, page, journal):
    box = post_office()
    done = send_email(page, journal, ["a@example.org", "비 <b@example.org>", "a@example.org"])
    assert (done.sent, done.before) == (2, 0)
    assert [to for to, _ in box.letters] == [["a@example.org"], ["b@example.org"]]
    first, second = box.messages()
    assert first["Subject"] == "오늘의 논문 · 2024년 8월 22일 · 11편"
    assert first["From"].addresses[0].display_name == "논문"
    assert str(second["To"].addresses[0]) == "비 <b@example.org>"
    assert first["Message-ID"] != second["Message-ID"]
    assert all(len(line) <= 998 for _, content in box.letters for line in content.split(b"\r\n"))
    assert first.get_content_type() == "multipart/alternative"
    plain, html = (part.get_content() for part in first.iter_parts())
    assert plain.replace("\r\n", "\n") == render_text(page)
    document = Document(html)
    for paper in page.papers:
        assert paper.title in document.text()
    assert not document.all("script")
    assert not document.all("img")


def test_a_reader_who_has_the_page_does_not_get_it_twice(post_office, page, journal):
    box = post_office()
    send_email(page, journal, ["a@example.org"])
    assert send_email(page, journal, ["a@example.org", "c@example.org"]).sent == 1
    assert send_email(page, journal, ["a@example.org"]).sent == 0
    assert send_email(page, journal, ["a@example.org"], force=True).sent == 1
    assert [to for to, _ in box.letters] == [["a@example.org"], ["c@example.org"], ["a@example.org"]]
    ids = [message["Message-ID"] for message in box.messages()]
    assert ids[0] == ids[2] != ids[1]


def test_an_address_that_the_server_refuses_keeps_nobody_else_from_theirs(post_office, page, journal):
    box = post_office()
    with pytest.raises(InputError, match=r"refuses x@full.example: 552 Mailbox full; 1 sent"):
        send_email(page, journal, ["x@full.example", "a@example.org"])
    assert [to for to, _ in box.letters] == [["a@example.org"]]
    assert send_email(page, journal, ["a@example.org"]).sent == 0


def test_hostile_texts_stay_texts_in_a_mail(post_office, journal):
    box = post_office()
    evil = Paper(
        title="<script>x</script>\r\nBcc: z@example.org", url="javascript:x", sections={"A": "<img src=x>"}
    )
    send_email(Page(date="2024-01-02", papers=[evil]), journal, ["a@example.org"], language="en")
    (message,) = box.messages()
    assert message["Bcc"] is None
    document = Document(message.get_body(("html",)).get_content())
    assert not document.all("script")
    assert not document.all("img")
    assert [a["href"] for a in document.all("a")] == []


@pytest.mark.parametrize(
    "address", ["nobody", "a@", "@b.org", "a@b.org\nBcc: c@d.org", "a@b.org, c@d.org", ""]
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(post_office, page, journal, address):
    box = post_office()
    with pytest.raises(InputError, match="no e-mail address"):
        send_email(page, journal, ["a@example.org", address])
    assert box.letters == []


def test_a_login_works_and_a_wrong_password_is_one_line(post_office, page, journal, monkeypatch):
    box = post_office(authenticator=accepts, auth_required=True, auth_require_tls=False)
    monkeypatch.setenv("SMTP_USER", "me")
    monkeypatch.setenv("SMTP_PASSWORD", "a secret")
    assert send_email(page, journal, ["a@example.org"]).sent == 1
    monkeypatch.setenv("SMTP_PASSWORD", "a wrong one")
    with pytest.raises(InputError, match="check SMTP_USER and SMTP_PASSWORD") as caught:
        send_email(page, journal, ["b@example.org"])
    assert "wrong" not in str(caught.value)
    assert len(box.letters) == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SMTP_HOST": ""}, "SMTP_HOST is not set"),
        ({"SMTP_USER": "me"}, "SMTP_PASSWORD is not set"),
        ({"SMTP_PORT": "mail"}, "SMTP_PORT is 'mail'"),
        ({"SMTP_PORT": "9"}, "cannot be reached"),
        ({"SMTP_SECURITY": "tls"}, "SMTP_SECURITY is 'tls'"),
        ({"SMTP_SECURITY": "starttls"}, "STARTTLS"),
        ({"SMTP_SECURITY": "ssl"}, "no safe connection"),
        ({"SMTP_HOST": "mail.invalid", "SMTP_USER": "me", "SMTP_PASSWORD": "x"}, "in the clear"),
        ({"SMTP_FROM": ""}, "SMTP_FROM"),
    ],
)
def test_a_wrong_variable_of_mail_is_named(post_office, page, journal, monkeypatch, variables, words):
    box = post_office()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        send_email(page, journal, ["a@example.org"])
    assert box.letters == []
    assert not journal.path.exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_a_certificate_is_checked_before_anything_is_sent(post_office, page, journal, monkeypatch, tmp_path):
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=127.0.0.1",
    ]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(request, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    box = post_office("starttls", tls_context=context, require_starttls=True)
    with pytest.raises(InputError, match="no safe connection"):
        send_email(page, journal, ["a@example.org"])
    assert box.letters == []
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert send_email(page, journal, ["a@example.org"]).sent == 1
    secure = post_office("ssl", ssl_context=context)
    assert send_email(page, journal, ["b@example.org"]).sent == 1
    assert len(secure.letters) == 1


def test_the_text_is_wrapped_by_the_width_of_its_characters(page):
    for language in ("ko", "en"):
        text = render_text(page, language=language, link="https://example.org/" + "x" * 90)
        lines = text.split("\n")
        assert max(cell_len(line) for line in lines if "https://" not in line) <= 76
        assert not any(line != line.rstrip() for line in lines)
        words = text.split()
        for paper in page.in_language(language).papers:
            assert paper.url in words
            for section in paper.sections.values():
                assert " ".join(section.split()) in " ".join(words)


def test_a_page_of_bullets_is_text_too():
    paper = Paper(title="Old", bullets=["하나\n- 안쪽", "둘 " * 60], unplaced=["A remark."])
    text = render_text(Page(date="2024-01-02", papers=[paper]))
    assert "   - 하나\n" in text
    assert "   A remark." in text
    assert "1. Old\n" in text


def test_a_page_in_another_language_is_the_same_in_text_and_html(post_office, journal):
    paper = Paper(
        title="T", sections={"What's New": "日本語"}, translations={"en": {"What's New": "English"}}
    )
    box = post_office()
    send_email(Page(date="2024-01-02", language="ja", papers=[paper]), journal, ["a@example.org"])
    plain, html = (part.get_content() for part in box.messages()[0].iter_parts())
    for text in (plain, html):
        assert "日本語" in text
        assert "English" not in text


def test_the_file_is_written_whole_or_not_at_all(page, tmp_path):
    send_file(page, tmp_path / "page.txt", language="en")
    assert (tmp_path / "page.txt").read_text(encoding="utf-8") == render_text(page, language="en")
    with pytest.raises(InputError, match="cannot write"):
        send_file(page, "/proc/nowhere/page.txt")


def paperworks(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "paperworks", "send", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **variables},
    )


def test_the_command_sends_the_newest_page_once(slack, page, tmp_path):
    for date in ("2024-08-21", "2024-08-22"):
        path = tmp_path / f"pages/{date.replace('-', '/')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Page(date=date, language="ko", papers=page.papers[:1]).model_dump_json())
    first = paperworks("slack", "--channel", "C1", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout) == {"date": "2024-08-22", "to": "slack C1", "sent": 2, "before": 0}
    assert (tmp_path / "pages/.sent.json").is_file()
    again = paperworks("slack", "2024-08-22", "--channel", "C1", cwd=tmp_path)
    assert "sent before" in again.stdout
    assert len(slack.posts) == 2
    older = paperworks("slack", "pages/2024/08/21.json", "--channel", "C1", cwd=tmp_path)
    assert older.returncode == 0, older.stderr
    assert len(slack.posts) == 4


def test_the_command_writes_a_page_as_text(tmp_path, page):
    done = paperworks("file", "2024-08-22", "--lang", "en", cwd=tmp_path)
    assert done.stdout == render_text(page, language="en")
    paperworks("file", "2024-08-22", "--out", "page.txt", cwd=tmp_path)
    assert (tmp_path / "page.txt").read_text(encoding="utf-8") == render_text(page)


def test_a_paper_says_where_its_summary_came_from_and_which_figures_are_doubtful(slack, journal):
    figure = FigureCheck(
        text="2.5억",
        start=0,
        end=4,
        section="What's New",
        value=2.5e8,
        unit="",
        verdict="unfounded",
        source_start=None,
        source_text=None,
    )
    doubtful = Paper(title="One", sections={"What's New": "2.5억 개"}, figures=[figure])
    failed = Paper(title="Two", provenance=Provenance(problem="the endpoint <refused>"))
    page = Page(date="2024-01-02", language="ko", papers=[doubtful, failed])
    text = render_text(page, language="en")
    assert "0/1" in text
    assert "“2.5억”" in text
    assert "No summary: the endpoint <refused>" in text
    send_slack(page, journal, channel="C1", language="en")
    assert any("the endpoint &lt;refused&gt;" in text for text in slack.texts())
