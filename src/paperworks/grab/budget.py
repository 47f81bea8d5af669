"""A budget for calls that cost money: what is spent plus what may still come is never above it.

Before a call its highest possible price is set aside: every byte of the text as one token, the picture as the dearest
one seen so far, the longest answer allowed. A call waits until what is set aside for others has become what they cost;
if nothing is under way and it still does not fit, the budget is reached. The first call runs alone, because only its
answer tells how many tokens the endpoint counts for a picture. Choices of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from paperworks.errors import InputError

_FRAME_TOKENS = 64
"""What roles and templates add to a prompt, generously."""
_PICTURE_TOKENS = 2048
"""A picture before the first answer has told what one costs, or where the endpoint never tells."""
_ROUNDING = 1e-12

Journal = Callable[[str, str, float], None]
"""Called with (key, item id, change of cost) when a call starts and when its cost is known."""


class BudgetReached(InputError):
    """No further call fits into the budget; what was answered is kept, and a higher budget goes on from there.

    `run` is the run that stopped, where `evaluate` raises it.
    """

    run: object = None


@dataclass(frozen=True, eq=False)
class Call:
    """A call for which `price` is set aside."""

    key: str
    id: str
    price: float
    text_bytes: int
    pixels: int
    max_tokens: int


class Ledger:
    """What an endpoint's calls cost. For one event loop at a time.

    `price`: (prompt, answer) per million tokens, in any currency; `budget`: the most that may be spent, in the same
    currency. `spent` includes what earlier runs into the same folder spent, if `spent` was set so. Raises `InputError`
    for a budget without a price.
    """

    def __init__(self, price: tuple[float, float] | None, budget: float | None) -> None:
        if price is not None and (len(price) != 2 or any(not (part >= 0) for part in price)):
            raise InputError(f"the price is {price}; give two numbers per million tokens: prompt, answer")
        if budget is not None and price is None:
            raise InputError(
                "a budget needs the price: give the price per million prompt tokens and answer tokens with --price"
            )
        if budget is not None and not budget > 0:
            raise InputError(f"the budget is {budget}; it is a number above 0")
        self.price, self.budget = price, budget
        self.spent = 0.0
        self.journal: Journal | None = None
        self._picture_tokens, self._picture_pixels = _PICTURE_TOKENS, 0
        self._answer_tokens = 0
        self._measured = False
        self._guessed: list[Call] = []
        self._corrections: dict[str, float] = {}
        self._held: set[Call] = set()
        self._changed = asyncio.Condition()

    def start(self) -> None:
        """Begin with an event loop: nothing is under way."""
        self._held.clear()
        self._changed = asyncio.Condition()

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        if self.price is None:
            return 0.0
        return (tokens_in * self.price[0] + tokens_out * self.price[1]) / 1e6

    def estimate(self, text_bytes: int, pixels: int, max_tokens: int) -> float:
        """The highest price of a call: `text_bytes` of prompt, a picture of `pixels` (0: none), `max_tokens` new."""
        picture = 0.0
        if pixels:
            grown = max(1.0, pixels / self._picture_pixels) if self._picture_pixels else 1.0
            picture = self._picture_tokens * grown
        tokens = round(text_bytes + _FRAME_TOKENS + picture)
        return self.cost(tokens, max(max_tokens, self._answer_tokens))

    async def reserve(self, key: str, id: str, text_bytes: int, pixels: int, max_tokens: int) -> Call:
        """Set aside the highest price of a call, as soon as the budget allows it. Raises `BudgetReached`."""
        async with self._changed:
            while True:
                price = self.estimate(text_bytes, pixels, max_tokens)
                if self.budget is None:
                    break
                if self._measured or not self._held:
                    committed = self.spent + sum(call.price for call in self._held)
                    if committed + price <= self.budget + _ROUNDING:
                        break
                    if not self._held:
                        raise BudgetReached(
                            f"stopped before a call that can cost up to {price:.6f}: {self.spent:.6f} of the budget of "
                            f"{self.budget:g} are spent; raise --budget and run again, what is answered is kept"
                        )
                await self._changed.wait()
            call = Call(key, id, price, text_bytes, pixels, max_tokens)
            self._held.add(call)
        self._note(call, price)
        return call

    async def settle(self, call: Call, tokens: tuple[int, int] | None, *, free: bool = False) -> float:
        """The call is over: it took `tokens` (None: unknown, so its estimate counts), or nothing at all (`free`).

        Returns what it cost; a call that is settled already costs nothing more.
        """
        if call not in self._held:
            return 0.0
        price = 0.0 if free else call.price if tokens is None else self.cost(*tokens)
        async with self._changed:
            self._held.discard(call)
            self.spent += price
            if tokens is not None:
                self._learn(call, tokens)
            elif not free and not self._measured:
                self._guessed.append(call)
            self._changed.notify_all()
        self._note(call, price - call.price)
        return price

    def answered(self) -> None:
        """An answer has come: what calls cost is known now, or the endpoint does not tell."""
        self._measured = True

    def correction(self, key: str) -> float:
        """What calls under `key` cost more than was counted, found out since; asked once."""
        return self._corrections.pop(key, 0.0)

    def _learn(self, call: Call, tokens: tuple[int, int]) -> None:
        self._answer_tokens = max(self._answer_tokens, tokens[1])
        if call.pixels and (tokens[0] > self._picture_tokens or not self._picture_pixels):
            self._picture_tokens, self._picture_pixels = tokens[0], call.pixels
        for lost in self._guessed:  # they broke off before anything was known
            more = self.estimate(lost.text_bytes, lost.pixels, lost.max_tokens) - lost.price
            if more > 0:
                self.spent += more
                self._corrections[lost.key] = self._corrections.get(lost.key, 0.0) + more
                self._note(lost, more)
        self._guessed.clear()
        self._measured = True

    def _note(self, call: Call, change: float) -> None:
        if self.journal is not None and self.price is not None:
            self.journal(call.key, call.id, change)
