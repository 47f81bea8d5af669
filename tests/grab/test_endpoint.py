"""The endpoint against a real server on loopback: what is sent, what comes back, what fails and what it may cost."""

from __future__ import annotations

import logging
import time

import pytest
from loopback import Asked, FakeBench, Reply, Server, fails, number, right, says

from paperworks.errors import InputError
from paperworks.grab.endpoint import BudgetReached, Endpoint, EndpointError
from paperworks.grab.models import Model, Request
from paperworks.grab.prompts import PROMPTS

KEY = "sk-secret-0123456789"
PRICE = (2.5, 10.0)


@pytest.fixture(autouse=True)
def no_key_of_the_user(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def endpoint(server: Server, **changes) -> Endpoint:
    return Endpoint(server.url, "m", **({"waits": (0.01, 0.05), "timeout": 5.0} | changes))


def requests(n: int, image: bool = True) -> list[Request]:
    bench = FakeBench(n)
    return [
        Request(
            f"key-{item.id}",
            item.id,
            PROMPTS["official"].text(item.question),
            (lambda item=item: bench.png(item)) if image else None,
            item.question,
        )
        for item in bench
    ]


def answers(server: Server, n: int = 1, **changes):
    found = list(endpoint(server, **changes).answer(requests(n)))
    return sorted(found, key=lambda response: response.id[-4:])


def refusal(server: Server, n: int = 1, **changes) -> str:
    with pytest.raises(InputError) as caught:
        answers(server, n, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_question_goes_out_with_its_picture_and_comes_back_with_its_tokens():
    with Server(right) as server:
        [response] = answers(server, image_detail="high", extra={"reasoning_effort": "low"})
    [asked] = server.asked
    assert asked.image == FakeBench(1).png(FakeBench(1)[0])
    assert asked.text == PROMPTS["official"].text(
        "Question 0: what is the gradient of the function? Give an integer."
    )
    assert asked.body["max_tokens"] == 100
    assert asked.body["temperature"] == 0.0
    assert asked.body["reasoning_effort"] == "low"
    assert asked.body["messages"][0]["content"][1]["image_url"]["detail"] == "high"
    assert (response.text, response.finish) == ("-3", "stop")
    assert (response.tokens_in, response.tokens_out, response.cost, response.error) == (300, 5, None, None)


def test_a_request_without_a_picture_sends_text_only():
    with Server(lambda _: says("4")) as server:
        [response] = endpoint(server).answer(requests(1, image=False))
    assert server.asked[0].image is None
    assert response.text == "4"


def test_an_endpoint_is_a_model_with_parameters_that_hold_no_address_key_or_speed():
    model = Endpoint("http://127.0.0.1:1/v1/", "m", concurrency=3)
    assert isinstance(model, Model)
    assert model.parameters == {"kind": "endpoint", "max_tokens": 100, "temperature": 0.0}
    model.use_prompt(PROMPTS["reason"])
    assert model.parameters["max_tokens"] == 8192
    own = Endpoint("http://127.0.0.1:1/v1", "m", max_tokens=7)
    own.use_prompt(PROMPTS["reason"])
    assert own.max_tokens == 7


TEXTS = [
    "4.0",
    "The gradient is approximately −3, since the line falls.\n\nAnswer: -3",
    "3 cm",
    r"\[\boxed{-\frac{1}{6}}\]",
    "I'm sorry, but I can't help with reading this image.",
    "  -3 \n",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_models_own_text_is_kept_to_the_letter(text):
    with Server(lambda _: says(text)) as server:
        [response] = answers(server)
    assert (response.text, response.finish) == (text, "stop")


@pytest.mark.parametrize(
    ("reply", "finish", "text"),
    [
        (says("Let me see: the line", finish="length", usage=(300, 100)), "length", "Let me see: the line"),
        (says(None, finish="length", usage=(300, 100)), "length", None),
        (says(None, refusal="I can't read this."), "refused", "I can't read this."),
        (says("", finish="content_filter"), "refused", ""),
        (fails(400, "The prompt was filtered.", "content_filter"), "refused", None),
        (says([{"type": "text", "text": "-"}, {"type": "text", "text": "3"}]), "stop", "-3"),
    ],
)
def test_cut_off_and_refused_answers_are_not_wrong_answers(reply, finish, text):
    with Server(lambda _: reply) as server:
        [response] = answers(server)
    assert (response.finish, response.text) == (finish, text)
    assert len(server.asked) == 1


def test_what_may_pass_is_tried_again_and_each_question_is_answered_once():
    def behave(asked: Asked) -> Reply:
        kind = number(asked.text) % 5
        if kind == 0 and asked.before < 2:
            return fails(500, "worker died")
        if kind == 1 and asked.before < 1:
            return right(asked, drop="before")
        if kind == 2 and asked.before < 1:
            return right(asked, drop="middle")
        if kind == 3 and asked.before < 1:
            return fails(503, "warming up", Retry_After="0")
        return right(asked)

    with Server(behave) as server:
        found = answers(server, 40)
    assert [response.text for response in found] == [item.answer for item in FakeBench(40)]
    assert set(server.answered.values()) == {1}
    assert len(server.asked) == 8 * (3 + 2 + 2 + 2 + 1)


def test_retry_after_is_obeyed_and_holds_back_everybody():
    def behave(asked: Asked) -> Reply:
        return (
            fails(429, "slow down", Retry_After="1")
            if number(asked.text) == 0 and not asked.before
            else right(asked)
        )

    with Server(behave) as server:
        found = answers(server, 8, concurrency=1)
    assert [response.finish for response in found] == ["stop"] * 8
    gap = server.times[1] - server.times[0]
    assert 0.95 < gap < 2.5
    assert found[0].seconds > 0.95


def test_too_long_a_retry_after_stops_with_what_the_server_said():
    with Server(lambda _: fails(429, "quota for today is used up", Retry_After="86400")) as server:
        said = refusal(server)
    assert "86400 s" in said
    assert "quota for today is used up" in said
    assert len(server.asked) == 1


def test_a_question_that_fails_six_times_is_an_error_and_the_others_go_on():
    def behave(asked: Asked) -> Reply:
        return fails(500, "out of memory") if number(asked.text) == 2 else right(asked)

    with Server(behave) as server:
        found = answers(server, 5)
    assert [response.finish for response in found] == ["stop", "stop", "error", "stop", "stop"]
    assert found[2].error == "HTTP 500: out of memory"
    assert server.counts[PROMPTS["official"].text(FakeBench(5)[2].question)] == 6


def test_when_nothing_gets_an_answer_the_run_stops():
    with Server(lambda _: fails(500, "out of memory")) as server:
        said = refusal(server, 40, concurrency=4, tries=2)
    assert "8 questions in a row got no answer" in said
    assert "out of memory" in said
    assert len(server.asked) < 40


def test_waits_between_tries_are_random_and_doubled_up_to_a_limit():
    with Server(lambda _: fails(500, "no")) as server:
        answers(server, waits=(0.05, 0.3))
    gaps = [late - early for early, late in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == 5
    assert all(0.04 < gap < 0.6 for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "this model does not accept image_url content"),
        (401, "Incorrect API key provided"),
        (403, "Your plan does not include m"),
        (404, "The model `m` does not exist"),
        (413, "request too large"),
    ],
)
def test_what_will_not_pass_stops_at_once_with_the_servers_words(status, message):
    with Server(lambda _: fails(status, message)) as server:
        said = refusal(server, 50, concurrency=2)
    assert f"HTTP {status}: {message}" in said
    assert len(server.asked) <= 2


def test_a_stop_lets_calls_under_way_finish():
    def behave(asked: Asked) -> Reply:
        return fails(401, "expired", delay=0.05) if number(asked.text) == 0 else right(asked, delay=0.2)

    with Server(behave) as server:
        found = []
        with pytest.raises(EndpointError, match="expired"):
            collect(endpoint(server, concurrency=4).answer(requests(30)), found)
    assert len(found) == 3
    assert len(server.asked) == 4


def collect(responses, found):
    for response in responses:
        found.append(response)


def test_the_key_is_sent_and_never_shown(monkeypatch, caplog, capfd):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with Server(lambda asked: says(f"You sent {asked.headers['authorization']}")) as server:
        [response] = answers(server, key_env="MY_KEY")
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    with Server(lambda _: fails(401, f"Incorrect API key provided: {KEY}")) as server:
        said = refusal(server, key_env="MY_KEY")
    written = capfd.readouterr()
    for text in (response.text, said, caplog.text, written.out, written.err, repr(vars(endpoint(server)))):
        assert KEY not in text
    assert "Incorrect API key provided: [key]" in said


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match="MY_KEY"):
        list(Endpoint("https://models.example/v1", "m", key_env="MY_KEY").answer(requests(1)))


def test_a_key_that_cannot_be_one_is_not_shown(monkeypatch):
    monkeypatch.setenv("MY_KEY", "schlüssel")
    with pytest.raises(InputError, match="MY_KEY") as caught:
        list(Endpoint("https://models.example/v1", "m", key_env="MY_KEY").answer(requests(1)))
    assert "schlüssel" not in str(caught.value)


def test_nobody_at_the_address_is_told_at_once():
    with Server(right) as server:
        pass
    began = time.monotonic()
    said = refusal(server, 20)
    assert f"nobody answers at {server.url}" in said
    assert time.monotonic() - began < 5


def test_a_page_in_place_of_an_answer_is_told():
    with Server(lambda _: Reply(200, b"<html>Welcome</html>", {"Content-Type": "text/html"})) as server:
        assert "no chat completion: <html>Welcome</html>" in refusal(server)


def test_a_slow_answer_is_given_up_and_counted():
    with Server(lambda asked: right(asked, delay=0.0 if asked.before else 1.0)) as server:
        [response] = answers(server, timeout=0.3, price=PRICE)
    assert response.text == "-3"
    assert response.cost is not None
    assert response.cost > (300 * 2.5 + 5 * 10) / 1e6  # the call that was given up counts as well


def test_the_newer_name_of_the_limit_is_learned():
    def behave(asked: Asked) -> Reply:
        if "max_tokens" in asked.body:
            return fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return right(asked)

    with Server(behave) as server:
        found = answers(server, 12, concurrency=4)
    assert [response.finish for response in found] == ["stop"] * 12
    assert 12 < len(server.asked) <= 16
    assert server.asked[-1].body["max_completion_tokens"] == 100


def test_a_temperature_that_is_refused_is_not_changed_silently():
    with Server(lambda _: fails(400, "temperature does not support 0.0 with this model")) as server:
        assert "temperature does not support 0.0" in refusal(server)
    with Server(right) as server:
        answers(server, temperature=None)
    assert "temperature" not in server.asked[0].body


def test_as_many_calls_are_under_way_as_asked_for():
    with Server(lambda asked: right(asked, delay=0.05)) as server:
        answers(server, 48, concurrency=16)
    assert server.most_under_way == 16


@pytest.mark.parametrize(
    ("usage", "report"),
    [((300, 5), True), ((900, 100), True), ((4000, 60), True), ((300, 5), False), ((900, 100), False)],
)
def test_the_budget_is_never_passed(usage, report):
    # The server's own bill is the judge; where it tells no usage, the call's highest price is counted.
    def behave(asked: Asked) -> Reply:
        if asked.before < 1 and number(asked.text) % 9 == 0:
            return right(asked, drop="before", usage=usage)
        if asked.before < 1 and number(asked.text) % 7 == 0:
            return fails(500, "no")
        return right(asked, delay=0.01, usage=usage, report=report)

    budget = 0.12
    with Server(behave) as server:
        model = endpoint(server, price=PRICE, budget=budget, concurrency=16)
        found = []
        with pytest.raises(BudgetReached, match="raise --budget"):
            collect(model.answer(requests(400)), found)
    bill = server.bill(PRICE)
    assert bill <= budget
    assert model.spent <= budget
    assert bill <= model.spent + 1e-9
    assert len({response.id for response in found}) == len(found) == 400
    answered = [response for response in found if response.finish == "stop"]
    assert answered
    assert all(response.finish in ("stop", "unpaid") for response in found)
    if report:  # what is left would not have paid for one more call at its highest price
        highest = (usage[0] + 600 + 64) * 2.5 / 1e6 + 100 * 10 / 1e6
        assert budget - model.spent < highest


def test_a_control_without_the_ledgers_reserve_passes_the_budget(monkeypatch):
    from paperworks.grab.budget import Ledger

    monkeypatch.setattr(Ledger, "estimate", lambda *_: 0.0)
    with Server(lambda asked: right(asked, delay=0.05, usage=(4000, 60))) as server:
        with pytest.raises(BudgetReached):
            list(endpoint(server, price=PRICE, budget=0.03, concurrency=16).answer(requests(400)))
        assert server.bill(PRICE) > 0.03


def test_a_budget_under_one_call_makes_no_call_and_names_the_estimate():
    with Server(right) as server:
        model = endpoint(server, price=PRICE, budget=0.0001)
        with pytest.raises(BudgetReached, match=r"up to 0\.00\d+"):
            list(model.answer(requests(3)))
    assert not server.asked


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": 3.0}, "budget needs the price"),
        ({"price": PRICE, "budget": 0}, "budget is 0"),
        ({"price": (1.0,)}, "two numbers"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"tries": 0}, "tries is 0"),
        ({"waits": (0, 1)}, "waits is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"image_detail": "best"}, "low, high or auto"),
        ({"extra": {"temperature": 1}}, "extra holds temperature"),
        ({"model": " "}, "no model is named"),
        ({"base_url": "models.example/v1"}, "no address of an endpoint"),
        ({"base_url": "https://me:pw@models.example/v1"}, "must not hold a password"),
        ({"base_url": "https://models.example/v1?key=1"}, "must not hold a password"),
    ],
)
def test_options_that_cannot_be_are_told(changes, said):
    with pytest.raises(InputError, match=said):
        Endpoint(**({"base_url": "http://127.0.0.1:1/v1", "model": "m"} | changes))


def test_leaving_the_responses_early_ends_the_calls():
    with Server(lambda asked: right(asked, delay=0.05)) as server:
        responses = endpoint(server, concurrency=4).answer(requests(200))
        next(responses)
        began = time.monotonic()
        responses.close()
        assert time.monotonic() - began < 2
        asked = len(server.asked)
        time.sleep(0.2)
        assert len(server.asked) == asked < 40


def test_an_unreadable_picture_stops_with_its_reason():
    def broken() -> bytes:
        raise InputError("function-gradient-0001: cannot read images/1.png")

    with Server(right) as server, pytest.raises(InputError, match=r"images/1\.png"):
        list(endpoint(server).answer([Request("k", "i", "Question 1: ?", broken, "?")]))
