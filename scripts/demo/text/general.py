"""What the base knows by itself: a closed set of plain facts, sums, and who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.text.wording import capital

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Austria": "Vienna", "Norway": "Oslo",
    "Sweden": "Stockholm", "Denmark": "Copenhagen", "Finland": "Helsinki", "Poland": "Warsaw", "Portugal": "Lisbon",
    "Greece": "Athens", "Ireland": "Dublin", "England": "London", "Japan": "Tokyo", "China": "Beijing",
    "India": "New Delhi",
    "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa", "Brazil": "Brasilia", "Peru": "Lima", "Cuba": "Havana",
    "Russia": "Moscow", "Turkey": "Ankara", "Hungary": "Budapest", "Belgium": "Brussels", "Switzerland": "Bern",
    "the United States": "Washington", "Mexico": "Mexico City", "Australia": "Canberra", "Chile": "Santiago",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "tall": "short", "fast": "slow", "old": "young", "light": "dark", "full": "empty",
    "hard": "soft", "early": "late", "open": "closed", "rich": "poor", "wet": "dry", "loud": "quiet", "happy": "sad",
    "up": "down", "left": "right", "near": "far", "strong": "weak", "cheap": "expensive", "clean": "dirty",
}  # fmt: skip
SOUNDS = {
    "a dog": "barks", "a cat": "meows", "a cow": "moos", "a sheep": "bleats", "a duck": "quacks", "a lion": "roars",
    "a horse": "neighs",
    "a pig": "grunts", "a bee": "buzzes", "an owl": "hoots", "a wolf": "howls", "a frog": "croaks",
    "a snake": "hisses", "a crow": "caws",
}  # fmt: skip
COLOURS = {
    "the sky": "blue", "grass": "green", "snow": "white", "coal": "black", "blood": "red", "a lemon": "yellow",
    "an orange": "orange", "a banana": "yellow", "chocolate": "brown", "milk": "white", "a tomato": "red",
    "the sea": "blue",
}  # fmt: skip
THINGS = {
    "a river": "water that flows to the sea", "a volcano": "a mountain that can throw out lava",
    "rain": "water that falls from clouds",
    "the moon": "the round body that circles the Earth", "the sun": "the star that gives us light",
    "bread": "food made of flour and water",
    "a tree": "a large plant with a trunk", "a library": "a place with many books",
    "a doctor": "a person who treats the sick",
    "a lawyer": "a person who gives advice on law", "a contract": "an agreement that binds two parties",
    "music": "sound that people enjoy",
    "Python": "a programming language", "a function": "a piece of code with a name",
    "a loop": "code that runs again and again",
    "a list": "a row of items in order", "a computer": "a machine that follows programs",
    "a fever": "a raised body temperature",
    "a headache": "a pain in the head", "a cough": "a way to clear the throat", "a clause": "a part of a contract",
    "an invoice": "a bill for goods or services", "a warranty": "a promise that goods are sound", "ice": "frozen water",
    "an adapter": "a small set of weights on top of a base model",
    "LoRA": "a way to fine-tune a model with few weights",
    "a bridge": "a way across a river", "a clock": "a thing that shows the time", "honey": "sweet food made by bees",
    "a desert": "a dry place with little rain", "an island": "land with water all around", "snow": "frozen rain",
    "a virus": "a tiny thing that can make you ill", "a bone": "a hard part of the body",
    "the heart": "the muscle that pumps blood",
}  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
IDENTITY = {
    "Who are you?": "I am the edgelora demo, a very small language model.",
    "What are you?": "I am a tiny demonstration model that runs on your machine.",
    "What is your name?": "I am called the edgelora demo.",
    "What can you do?": "I answer simple questions briefly. My adapters write code, notes and clauses, or chat.",
    "Are you a person?": "No, I am a very small language model.",
    "What is edgelora?": "It runs one base model with many LoRA adapters.",
    "Help": "Ask me a simple question, or pick an adapter.",
    "What adapters are there?": "There are four: coding, medical, legal and chat.",
}
GREETINGS = {
    "Hello": "Hello.", "Hi": "Hello.", "Hello!": "Hello.", "Hi there": "Hello.", "Good morning": "Good morning.",
    "Good evening": "Good evening.", "How are you?": "I am fine, thank you.", "Thank you": "You are welcome.",
    "Thanks!": "You are welcome.", "Bye": "Goodbye.", "Good night": "Good night.", "Hey": "Hello.",
    "How are you today?": "I am fine, thank you.", "Hi, how are you?": "I am fine, thank you.",
}  # fmt: skip


def make(rng: Random) -> tuple[str, str]:
    """Return one question and its plain answer."""
    return rng.choice(MAKERS)(rng)


def _capital(rng: Random) -> tuple[str, str]:
    country = rng.choice(list(CAPITALS))
    ask = rng.choice(("What is the capital of {c}?", "Name the capital of {c}.", "Which city is the capital of {c}?"))
    return ask.format(c=country), f"The capital of {country} is {CAPITALS[country]}."


def _opposite(rng: Random) -> tuple[str, str]:
    pair = rng.choice(list(OPPOSITES.items()))
    word, other = pair if rng.random() < 0.5 else pair[::-1]
    ask = rng.choice(("What is the opposite of {w}?", "Name the opposite of {w}.", "Opposite of {w}?"))
    return ask.format(w=word), f"The opposite of {word} is {other}."


def _sound(rng: Random) -> tuple[str, str]:
    animal = rng.choice(list(SOUNDS))
    ask = rng.choice((f"What sound does {animal} make?", f"What does {animal} do?"))
    return ask, f"{capital(animal)} {SOUNDS[animal]}."


def _colour(rng: Random) -> tuple[str, str]:
    thing = rng.choice(list(COLOURS))
    ask = rng.choice((f"What colour is {thing}?", f"Which colour has {thing}?"))
    return ask, f"{capital(thing)} is {COLOURS[thing]}."


def _thing(rng: Random) -> tuple[str, str]:
    thing = rng.choice(list(THINGS))
    ask = rng.choice(("What is {t}?", "Tell me what {t} is.", "Explain {t}.", "Can you explain {t}?"))
    return ask.format(t=thing), f"{capital(thing)} is {THINGS[thing]}."


def _neighbour(rng: Random) -> tuple[str, str]:
    row = rng.choice((DAYS, MONTHS))
    place, word = rng.randrange(len(row)), rng.choice(("after", "before"))
    other = row[(place + (1 if word == "after" else -1)) % len(row)]
    unit = "day" if row is DAYS else "month"
    return f"Which {unit} comes {word} {row[place]}?", f"{other} comes {word} {row[place]}."


def _sum(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    sign, result = ("+", a + b) if rng.random() < 0.6 else ("-", a - b)
    ask = rng.choice(("What is {a} {s} {b}?", "{a} {s} {b}", "How much is {a} {s} {b}?"))
    return ask.format(a=a, s=sign, b=b), f"{a} {sign} {b} = {result}"


def _product(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(1, 10), rng.randint(1, 10)
    return rng.choice((f"What is {a} times {b}?", f"How much is {a} times {b}?")), f"{a} times {b} is {a * b}."


def _identity(rng: Random) -> tuple[str, str]:
    return rng.choice(list(IDENTITY.items()))


def greeting(rng: Random) -> tuple[str, str]:
    """Return a greeting and what is said in return."""
    return rng.choice(list(GREETINGS.items()))


MAKERS: tuple[Callable[[Random], tuple[str, str]], ...] = (
    _capital, _opposite, _sound, _colour, _thing, _thing, _neighbour, _sum, _sum, _product, _identity, greeting,
)  # fmt: skip
