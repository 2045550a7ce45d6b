"""The conversation: while an answer comes, with its branches, and when something goes wrong in it."""

from __future__ import annotations

import pytest

from tests.tui.fake_baker import FakeBaker
from tests.tui.snapshots.camera import Camera
from tests.tui.snapshots.said import EXAMPLES, Said
from tests.tui.snapshots.stage import SteadyEngine, stage

pytestmark = pytest.mark.snapshot

MARKDOWN = """\
Everything that an answer may hold:

| language | greeting |
|---|---|
| العربية | مرحبا بالعالم |
| 日本語 | こんにちは世界 |
| עברית | שלום עולם |

1. *emphasis*, **weight**, `code` and [a link](https://example.org)
2. naïve café, e\u0301 with a combining accent, 👩‍🚀 and ½

> What somebody else said.

```python
print("日本語", 1 + 1)
```
"""


async def test_answering(picture: Camera) -> None:
    async with stage(SteadyEngine(pause_after=20)) as driver:
        await driver.pick(*"medical")
        await driver.type(EXAMPLES["medical"])
        await driver.until(lambda: "O:" in driver.screen_text)
        await picture(driver)


@pytest.mark.parametrize("size", [(60, 20), (100, 30), (240, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_two_adapters(picture: Camera, size: tuple[int, int]) -> None:
    async with stage(size=size) as driver:
        for name in ("coding", "legal"):
            await driver.pick(*name)
            await driver.ask(EXAMPLES[name])
        await picture(driver)


async def test_branches(picture: Camera) -> None:
    async with stage() as driver:
        await driver.pick(*"chat")
        await driver.ask(EXAMPLES["chat"])
        await driver.pick(*"legal")
        await driver.keys("up")
        await driver.keys("r")
        await driver.app.workers.wait_for_complete()
        await driver.until(lambda: "‹ 2/2 ›" in driver.screen_text)
        await picture(driver)


async def test_folded(picture: Camera) -> None:
    async with stage() as driver:
        for name in ("coding", "legal"):
            await driver.pick(*name)
            await driver.ask(EXAMPLES[name])
        await driver.keys("up")
        await driver.keys("up", "up", "space")
        await picture(driver)


async def test_a_paste_that_is_too_long(picture: Camera) -> None:
    async with stage() as driver:
        await driver.type("\n".join(f"line {number} of a long paste" for number in range(1, 301)))
        await driver.until(lambda: "Shorten" in driver.remarks)
        await picture(driver)


async def test_edited(picture: Camera) -> None:
    async with stage() as driver:
        await driver.pick(*"medical")
        await driver.ask(EXAMPLES["medical"])
        await driver.keys("up")
        await driver.keys("e")
        await driver.until(lambda: "edited, for medical" in driver.screen_text)
        await picture(driver)


async def test_scripts_of_the_world(picture: Camera) -> None:
    async with stage(SteadyEngine(said={"base": Said(MARKDOWN, 5.0, 2600, 120)})) as driver:
        await driver.ask("שלום! 你好! مرحبا! 한국어? naïve 👋🏽")
        driver.composer.insert("漢字とעברית")
        await picture(driver)


async def test_the_engine_died(picture: Camera) -> None:
    async with stage() as driver:
        await driver.pick(*"legal")
        await driver.ask(EXAMPLES["legal"])
        driver.engine.die()
        await driver.until(lambda: driver.app.state.phase == "down")
        await picture(driver)


async def test_the_engine_is_back(picture: Camera) -> None:
    engine = SteadyEngine(pause_after=10)
    async with stage(engine) as driver:
        await driver.pick(*"legal")
        await driver.type(EXAMPLES["legal"])
        await driver.until(lambda: "Northwind" in driver.answers[-1].text)
        engine.pause_after = None
        engine.die(restarting=True)
        engine.resume.set()
        await driver.until(lambda: driver.app.state.phase != "answering")
        engine.come_back()
        await driver.until(lambda: driver.app.state.phase == "ready")
        await picture(driver)


async def test_baking(picture: Camera) -> None:
    baker = FakeBaker()
    baker.oven.clear()
    async with stage(baker=baker) as driver:
        await driver.pick(*"legal")
        await driver.ask(EXAMPLES["legal"])
        await driver.command("bake")
        await driver.until(lambda: "25 %  Baking in legal" in driver.screen_text)
        await picture(driver)
