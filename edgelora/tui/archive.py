"""What the history screen does with kept conversations: list, rename, delete, export, import."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from edgelora.chat.history.exchange import file_name, from_json, to_json, to_markdown
from edgelora.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.chat.history.records import ConversationInfo, StoredConversation
    from edgelora.chat.history.store import History

T = TypeVar("T")
Form = Literal["markdown", "json"]
LONGEST_IMPORT = 256 << 20


class Archive:
    """The history in threads, one call at a time. Every method raises HistoryError."""

    def __init__(self, open_history: Callable[[], History]) -> None:
        self._open = open_history
        self._history: History | None = None
        self._busy = asyncio.Lock()

    async def list(self, text: str = "") -> tuple[ConversationInfo, ...]:
        """Conversations that contain ``text``, newest first."""
        return await self._do(lambda history: history.list(text))

    async def get(self, conversation: int) -> StoredConversation:
        """All of a conversation."""
        return await self._do(lambda history: history.get(conversation))

    async def rename(self, conversation: int, title: str) -> None:
        """Call it ``title``."""
        await self._do(lambda history: history.rename(conversation, title))

    async def delete(self, conversation: int) -> None:
        """Forget it."""
        await self._do(lambda history: history.delete(conversation))

    async def export(self, conversation: int, form: Form, folder: Path) -> Path:
        """Write it into a new file in ``folder``. Returns the file."""
        stored = await self.get(conversation)
        suffix, text = (".md", to_markdown(stored)) if form == "markdown" else (".json", to_json(stored))
        return await asyncio.to_thread(_write_new, folder / file_name(stored, suffix), text)

    async def take_in(self, path: Path) -> int:
        """A copy of the conversation in a JSON file. Returns its number."""
        stored = from_json(await asyncio.to_thread(_read, path), str(path))
        return await self._do(lambda history: history.add(stored))

    async def close(self) -> None:
        """Close the file."""
        async with self._busy:
            if self._history:
                await asyncio.to_thread(self._history.close)
                self._history = None

    async def _do(self, task: Callable[[History], T]) -> T:
        async with self._busy:
            if self._history is None:
                self._history = await asyncio.to_thread(self._open)
            return await asyncio.to_thread(task, self._history)


def _write_new(path: Path, text: str) -> Path:
    """Never over another file: numbers are added to the name."""
    for number in range(1, 1000):
        at = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            with at.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise HistoryError(
                f"{at} cannot be written: {error.strerror}", "Start the chat in another folder."
            ) from error
        return at.resolve()
    raise HistoryError(f"{path} and its like exist already", "Move some of them away.")


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LONGEST_IMPORT:
            raise HistoryError(f"{path} is larger than any conversation")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}", "Give the path of a conversation exported as JSON.") from error
    except UnicodeDecodeError as error:
        raise HistoryError(f"{path} is no text", "Give a conversation exported as JSON.") from error
