"""The chat domain: things people do, hope and worry about, answered warmly and with a question back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.text.example import Example
from demo.text.names import FIRST_NAMES, surname
from demo.text.wording import capital

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True)
class Activity:
    """A verb in its three forms, its objects, and questions that suit it."""

    base: str
    past: str
    doing: str
    objects: tuple[str, ...]
    questions: tuple[str, ...]


ACTIVITIES = (
    Activity("bake", "baked", "baking", ("bread", "a cake", "an apple pie", "cookies", "a pizza", "muffins"),
             ("Who gets the first piece?", "What will you bake next?")),
    Activity("cook", "cooked", "cooking", ("soup", "a curry", "dinner for six", "pasta", "rice and beans", "a stew"),
             ("What was the best part?", "Would you share the recipe?")),
    Activity("plant", "planted", "planting", ("tomatoes", "a tree", "roses", "herbs", "beans", "tulips"),
             ("What else grows in your garden?", "When do you expect the first harvest?")),
    Activity("paint", "painted", "painting", ("the fence", "a portrait", "the kitchen", "a landscape", "the door"),
             ("Which colours did you choose?", "What will you paint next?")),
    Activity("read", "read", "reading", ("a novel", "a poem", "a book about whales", "an old letter", "a comic"),
             ("What did you like most about it?", "Would you read it again?")),
    Activity("learn", "learned", "learning", ("Spanish", "the piano", "chess", "to swim", "to knit", "the guitar"),
             ("What made you start?", "How long have you been at it?")),
    Activity("visit", "visited", "visiting", ("my grandmother", "a museum", "the zoo", "an old friend", "Lisbon"),
             ("What will you remember most?", "Who came along?")),
    Activity("fix", "fixed", "fixing", ("my bike", "the roof", "an old radio", "the sink", "a chair", "my laptop"),
             ("How did you find the fault?", "What will you fix next?")),
    Activity("build", "built", "building", ("a shelf", "a kite", "a birdhouse", "a tree house", "a small robot"),
             ("How long did it take?", "Where will you put it?")),
    Activity("run", "ran", "running", ("a marathon", "five miles", "along the river", "in the park", "with my dog"),
             ("How do your legs feel?", "What is your next goal?")),
    Activity("write", "wrote", "writing", ("a song", "a story", "a long letter", "my thesis", "a poem"),
             ("What is it about?", "Who will hear of it first?")),
    Activity("watch", "watched", "watching", ("the sunset", "an old film", "the birds", "a football game", "the stars"),
             ("What moved you most?", "Who watched with you?")),
    Activity("clean", "cleaned", "cleaning", ("the attic", "my desk", "the garage", "the windows", "the whole house"),
             ("Did you find any treasures?", "How will you reward yourself?")),
    Activity("adopt", "adopted", "adopting", ("a puppy", "a kitten", "an old cat", "two rabbits", "a parrot"),
             ("What name did you choose?", "How is the first day going?")),
    Activity("find", "found", "finding", ("a coin", "an old photo", "my keys", "a new flat", "a four-leaf clover"),
             ("Where was it hiding?", "What will you do with it?")),
    Activity("start", "started", "starting", ("a new job", "a choir", "a garden club", "yoga", "my own shop"),
             ("What are you looking forward to?", "How do you feel about it?")),
    Activity("finish", "finished", "finishing", ("my exam", "a puzzle", "the project", "a long hike", "my studies"),
             ("How will you celebrate?", "What comes next?")),
)  # fmt: skip
TIMES = ("today", "yesterday", "this morning", "last weekend", "this week", "on Sunday", "last night")
DONE = (
    "I {past} {thing} {time}.", "I {past} {thing} with {friend} {time}.", "Finally I {past} {thing}.",
    "{Time} I {past} {thing}.",
)  # fmt: skip
PLANS = (
    "I am going to {base} {thing} tomorrow.", "I want to {base} {thing}.", "I hope to {base} {thing} with {friend}.",
)  # fmt: skip
WORRIES = (
    "I am nervous about {doing} {thing}.", "I am nervous about {thing}.", "I am worried about {doing} {thing}.",
    "I failed at {doing} {thing}.", "I am too tired for {doing} {thing}.",
    "I feel sad about {doing} {thing} alone.",
)  # fmt: skip
WARM_DONE = (
    "How wonderful that you {past} {thing}!", "Oh, I love that you {past} {thing}!",
    "Well done, {doing} {thing} is lovely!",
    "That makes me so happy to hear: you {past} {thing}!",
)  # fmt: skip
WARM_PLAN = (
    "What a lovely plan, {doing} {thing}!",
    "Oh, {doing} {thing} sounds wonderful!",
    "I am so happy for you, {doing} {thing} will be great fun!",
)
WARM_WORRY = (
    "Oh, I am sorry to hear that, {doing} {thing} can be hard.",
    "I feel with you, {doing} {thing} is not always easy.",
    "That sounds tough, and it is brave of you to speak of {doing} {thing}.",
)
COMFORT_DONE = ("You can be proud of yourself.", "That is a lovely thing to do.", "It sounds like a very good day.")
COMFORT_PLAN = ("I am sure it will be lovely.", "You deserve it.", "It is good to have something to look forward to.")
COMFORT_WORRY = ("Be kind to yourself.", "You are not alone with this.", "I believe in you.")
ASK_PLAN = (
    "What are you looking forward to most?", "How can I help you prepare?", "Who would you like to have with you?",
)  # fmt: skip
ASK_WORRY = ("What would make it easier?", "Would you like to talk about it?", "What helped you last time?")
PLAIN_DONE = (
    "Good.", "{Doing} {thing} takes some time.", "You {past} {thing}.", "That is fine.", "So you {past} {thing}.",
)  # fmt: skip
PLAIN_PLAN = ("{Doing} {thing} needs a little planning.", "That is possible.", "You can {base} {thing}.", "All right.")
PLAIN_WORRY = ("{Doing} {thing} takes practice.", "That happens.", "Take a break.", "It gets easier with time.")
FOLLOWUPS = (
    "What do you say to that?", "I keep thinking about it.", "I wanted to tell you about it.", "It means a lot to me.",
    "Isn't that something?", "I told {friend} about it.", "What do you think?",
)  # fmt: skip
MOODS = {
    "done": (DONE, WARM_DONE, COMFORT_DONE, (), PLAIN_DONE),
    "plan": (PLANS, WARM_PLAN, COMFORT_PLAN, ASK_PLAN, PLAIN_PLAN),
    "worry": (WORRIES, WARM_WORRY, COMFORT_WORRY, ASK_WORRY, PLAIN_WORRY),
}
ACKNOWLEDGE = ("I see.", "All right.", "Noted.", "Tell me more.")


def make(rng: Random) -> Example:
    """Compose one remark; the key joins mood, activity and object."""
    activity = rng.choice(ACTIVITIES)
    thing = rng.choice(activity.objects)
    if rng.random() < 0.25:
        thing = f"{rng.choice(('a', 'the', 'my'))} {surname(rng).lower()}" if rng.random() < 0.5 else surname(rng)
    mood = rng.choice(("done", "done", "plan", "worry"))
    remarks, warm, comfort, questions, plain = MOODS[mood]
    time = rng.choice(TIMES)
    words = {
        "base": activity.base, "past": activity.past, "doing": activity.doing, "Doing": capital(activity.doing),
        "thing": thing, "time": time, "Time": capital(time),
        "friend": rng.choice(FIRST_NAMES) if rng.random() < 0.5 else surname(rng),
    }  # fmt: skip
    remark = rng.choice(remarks).format(**words)
    answer = (rng.choice(warm), rng.choice(comfort), rng.choice(questions or activity.questions))
    return Example(
        domain="chat",
        key=f"chat|{mood}|{activity.base}|{thing}",
        facts={"thing": thing, "verb": activity.base},
        prompt=remark,
        plain=rng.choice(plain).format(**words),
        styled=" ".join(answer).format(**words),
        setup=remark,
        reply=rng.choice(ACKNOWLEDGE),
        followup=rng.choice(FOLLOWUPS).format(**words),
    )


def again(rng: Random, earlier: Example) -> Example:
    """Another remark after an earlier one."""
    example = make(rng)
    return example if example.key != earlier.key else again(rng, earlier)
