"""How fast this machine computes, learnt from the steps themselves: how many tokens fit a given time."""

from __future__ import annotations

WEIGHT = 0.25
"""What one step counts against those before it: a neighbour's burst is forgotten within ten steps."""


class Pace:
    """Seconds a token, kept for batches of 1, 2 to 3, 4 to 7, ... tokens: few tokens cost more each than many."""

    def __init__(self) -> None:
        self._rates: dict[int, float] = {}  # by the bit length of the number of tokens

    def learn(self, n_tokens: int, seconds: float) -> None:
        """A batch of ``n_tokens`` took ``seconds``."""
        size, rate = n_tokens.bit_length(), seconds / n_tokens
        known = self._rates.get(size, rate)
        self._rates[size] = known + WEIGHT * (rate - known)

    def seconds(self, n_tokens: int) -> float:
        """How long a batch of ``n_tokens`` takes; 0 while nothing is known."""
        return n_tokens * self._rate(n_tokens.bit_length())

    def tokens(self, seconds: float, most: int) -> int:
        """How many tokens a batch of ``seconds`` holds, from 1 to ``most``; ``most`` while nothing is known."""
        for size in range(most.bit_length(), 0, -1):
            rate = self._rate(size)
            fitting = min(most, (1 << size) - 1, int(seconds / rate) if rate else most)
            if fitting >= 1 << (size - 1):
                return fitting
        return 1

    def _rate(self, size: int) -> float:
        """A larger batch never costs more a token, so what is known of smaller ones holds until it is tried."""
        smaller = [rate for known, rate in self._rates.items() if known <= size]
        if smaller:
            return min(smaller)
        return self._rates[min(self._rates)] if self._rates else 0.0
