"""A wire into memory that answers as a test says, and pulls its feed as the real ones do: one mail at a time, results in between."""

from collections import deque
from collections.abc import Callable, Iterator

from notifications.channels.wire import Feed, Result, Sent, Timed, Wait
from notifications.mail import Mail

Answer = Callable[[Mail], Result]


def message_of(mail: Mail) -> int:
    """The number that a mail carries."""
    head = mail.bytes_.partition(b"\r\n\r\n")[0]
    [line] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"x-atrium-message:")]
    return int(line.partition(b":")[2])


class MemoryWire:
    """`mails`: what it has taken. `before`: called before each mail leaves."""

    def __init__(self, answer: Answer | None = None, *, before: Callable[[int], object] | None = None, ahead: int = 3) -> None:
        self.mails: list[Mail] = []
        self.handed = 0
        self._answer, self._before, self._ahead = answer or (lambda _: Sent(f"p{len(self.mails)}")), before, ahead

    def send(self, feed: Feed) -> Iterator[Result]:
        flying: deque[Mail] = deque()
        for item in feed:
            if isinstance(item, Wait):
                continue
            flying.append(item.mail if isinstance(item, Timed) else item)
            self.handed += 1
            if len(flying) >= self._ahead:
                yield self._leave(flying.popleft())
        while flying:
            yield self._leave(flying.popleft())

    def _leave(self, mail: Mail) -> Result:
        if self._before:
            self._before(len(self.mails))
        result = self._answer(mail)
        if isinstance(result, Sent):
            self.mails.append(mail)
        return result

    def close(self) -> None:
        pass

    @property
    def numbers(self) -> list[int]:
        return [message_of(mail) for mail in self.mails]

    @property
    def recipients(self) -> list[str]:
        return [mail.recipient for mail in self.mails]
