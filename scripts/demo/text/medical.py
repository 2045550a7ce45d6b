"""The medical domain: complaints of a patient, written up as a SOAP note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.text.example import Example
from demo.text.names import person, syllables
from demo.text.wording import capital, period

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True)
class Sort:
    """How one sort of complaint is examined, judged and treated; `{p}` is the place, if there is one."""

    findings: tuple[str, ...]
    assessments: tuple[str, ...]
    plans: tuple[str, ...]


PAIN = Sort(
    ("Tenderness over the {p}, no swelling.", "Movement of the {p} is limited.", "The {p} is tender, no redness."),
    ("likely strain", "probably overuse", "no sign of fracture"),
    ("Rest and cold packs", "Gentle exercise and pain relief", "Rest and pain relief as needed"),
)
SKIN = Sort(
    ("Skin of the {p} is red and dry.", "Small raised spots on the {p}.", "The {p} is red, no discharge."),
    ("likely contact dermatitis", "probably an allergic reaction", "no sign of infection"),
    ("Soothing cream twice a day", "Avoid soap and new products", "Antihistamine at night"),
)
NERVE = Sort(
    ("Sensation of the {p} is reduced.", "Strength of the {p} is normal.", "Reflexes of the {p} are normal."),
    ("possibly nerve irritation", "likely pressure on a nerve", "no sign of stroke"),
    ("Splint at night", "Change of posture and short breaks", "Nerve test if it persists"),
)
CHEST = Sort(
    ("Lungs clear, throat red.", "Temperature slightly raised, lungs clear.", "Nose blocked, ears normal."),
    ("likely viral infection", "probably a common cold", "no sign of pneumonia"),
    ("Fluids and rest", "Warm drinks and steam", "Rest at home"),
)
GENERAL = Sort(
    ("Vital signs normal.", "Blood pressure and pulse normal.", "General state good, no fever."),
    ("cause to be clarified", "likely stress related", "no warning signs"),
    ("Blood test", "Regular sleep and enough fluids", "Keep a diary of the complaint"),
)
GUT = Sort(
    ("Abdomen soft, not tender.", "Mild tenderness of the abdomen.", "Bowel sounds normal."),
    ("likely irritation of the stomach", "probably something eaten", "no sign of appendicitis"),
    ("Light food and fluids", "Avoid coffee and fat", "Small meals"),
)

LOCATED = {
    "pain": PAIN, "ache": PAIN, "stiffness": PAIN, "swelling": PAIN, "cramp": PAIN, "soreness": PAIN, "rash": SKIN,
    "itching": SKIN, "redness": SKIN, "bruise": SKIN, "numbness": NERVE, "tingling": NERVE, "weakness": NERVE,
}  # fmt: skip
PLACELESS = {
    "cough": CHEST, "sore throat": CHEST, "runny nose": CHEST, "fever": CHEST, "cold": CHEST,
    "shortness of breath": CHEST,
    "headache": GENERAL, "migraine": GENERAL, "dizziness": GENERAL, "fatigue": GENERAL, "insomnia": GENERAL,
    "toothache": GENERAL, "blurred vision": GENERAL, "nausea": GUT, "heartburn": GUT, "stomach ache": GUT,
    "loss of appetite": GUT, "diarrhoea": GUT,
}  # fmt: skip
PARTS = (
    "back",
    "chest",
    "neck",
    "knee",
    "shoulder",
    "foot",
    "hip",
    "arm",
    "leg",
    "ear",
    "eye",
    "jaw",
    "wrist",
    "stomach",
)
UNCOUNTED = frozenset((
    "stiffness", "swelling", "soreness", "itching", "redness", "numbness", "tingling", "weakness", "pain", "shortness",
    "dizziness", "fatigue", "insomnia", "blurred", "nausea", "heartburn", "loss", "diarrhoea",
))  # fmt: skip
QUALITIES = (
    "mild", "severe", "dull", "sharp", "burning", "throbbing", "constant", "recurring", "sudden", "slight", "strong",
    "persistent", "stabbing", "occasional", "dry", "bad", "terrible", "heavy", "chronic", "acute", "new",
)  # fmt: skip
SIDED = (
    "knee", "shoulder", "elbow", "wrist", "ankle", "hip", "hand", "foot", "heel", "thumb", "arm", "leg", "ear", "eye",
)  # fmt: skip
PLACES = ("neck", "lower back", "chest", "upper back", "jaw", "scalp", "stomach", "fingers", "toes")
AFTER = ("running", "long walks", "meals", "lifting a box", "work", "gardening", "a fall", "cycling", "swimming")
WHEN = ("worse at night", "worse in the morning", "better with rest", "worse on the stairs", "worse when sitting")
JOBS = ("baker", "teacher", "driver", "nurse", "student", "gardener", "painter", "runner", "cook", "pilot", "clerk")
PROMPTS = (
    "Write a note for {who} with {what}{long}{more}.", "Write up {who} with {what}{long}{more}.",
    "{Who} has {what}{long}{more}. Write a note.", "{Who} has {what}{long}{more}. Please write the note.",
    "{What}{long}{more}. Write a note.", "{Who} with {what}{long}{more}.",
    "Please document {what}{long}{more} in {who}.", "Medical note for {who}: {what}{long}{more}.",
    "{Who} comes in with {what}{long}{more}. Write it up.", "I need a note about {what}{long}{more} for {who}.",
    "{Who} complains of {what}{long}{more}. Can you write a note?",
)  # fmt: skip
SETUPS = (
    "{Who} has {what}{long}{more}.", "{Who} came in today with {what}{long}{more}.",
    "{Who} complains of {what}{long}{more}.",
    "I saw {who} with {what}{long}{more}.", "There is {who} with {what}{long}{more}.",
)  # fmt: skip
REPLIES = (
    "I hope the {short} gets better soon.", "That is unpleasant, {what}.", "A doctor should look at {what}.",
    "Noted: {what}.", "I see, {what}{long}.",
)  # fmt: skip
FOLLOWUPS = (
    "Write the note for that complaint.", "Write a note for that patient.", "Please write it up.",
    "Now write the medical note.", "Document that, please.", "Can you write the note?", "Write the note about it.",
)  # fmt: skip
AGAIN = (
    "The next one has {what}{long}{more}.", "Now one for {what}{long}{more}.", "And a note for {what}{long}{more}?",
    "The same patient now has {what}{long}{more}. Write another note.", "Do the same for {what}{long}{more}.",
)  # fmt: skip
PLAIN = (
    "{What}{long} should be seen by a doctor.", "Rest may help with {what}.", "A doctor can look at {what}.",
    "It depends on what causes the {short}.", "{What} often passes by itself.", "Ask a doctor about {what}{long}.",
)  # fmt: skip
REVIEW = ("review", "come back", "check again", "follow up")


@dataclass(frozen=True)
class Complaint:
    """What the patient feels: the words as asked for, the noun alone, the place, and how it is treated."""

    words: str
    short: str
    place: str
    sort: Sort


def make(rng: Random) -> Example:
    """Compose one complaint and its note; the key is the complaint itself."""
    return _compose(rng, FOLLOWUPS)


def again(rng: Random, earlier: Example) -> Example:
    """A second complaint after the note of an earlier one."""
    example = _compose(rng, AGAIN)
    return example if example.key != earlier.key else again(rng, earlier)


def complaint(rng: Random) -> Complaint:
    """Draw a complaint: located, without a place, or one with a word that no other text contains."""
    quality = rng.choice(QUALITIES) if rng.random() < 0.7 else ""
    style = rng.random()
    if style < 0.1:
        part = rng.choice(PARTS)
        return Complaint(f"{quality} {part} pain".strip(), "pain", part, PAIN)
    if style < 0.16:
        first, second = rng.sample(list(PLACELESS), 2)
        return Complaint(f"{first} and {second}", first, "", PLACELESS[first])
    if style < 0.5:
        noun = rng.choice(list(LOCATED))
        place = f"{rng.choice(('left', 'right'))} {rng.choice(SIDED)}" if rng.random() < 0.7 else rng.choice(PLACES)
        return Complaint(_article(quality, noun, f"{noun} in the {place}"), noun, place, LOCATED[noun])
    if style < 0.8:
        noun = rng.choice(list(PLACELESS))
        return Complaint(_article(quality, noun, noun), noun, "", PLACELESS[noun])
    word = syllables(rng)
    if rng.random() < 0.5:
        noun = rng.choice(list(LOCATED))
        return Complaint(_article(quality, noun, f"{noun} in the {word}"), noun, word, LOCATED[noun])
    return Complaint(_article(quality, word, word), word, "", GENERAL)


def _article(quality: str, noun: str, words: str) -> str:
    text = f"{quality} {words}".strip()
    if noun.split()[0] in UNCOUNTED:
        return text
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _patient(rng: Random) -> str:
    style = rng.random()
    if style < 0.35:
        return person(rng)
    if style < 0.6:
        return "a patient" if rng.random() < 0.6 else "my patient"
    return f"a {rng.randint(20, 79)}-year-old {rng.choice(JOBS)}"


def _compose(rng: Random, followups: tuple[str, ...]) -> Example:
    what, who = complaint(rng), _patient(rng)
    long = ""
    if rng.random() < 0.75:
        long = f" for {period(rng, ('days', 'weeks', 'months', 'hours'))}"
    more = ""
    if rng.random() < 0.35:
        more = f", {rng.choice(WHEN)}" if rng.random() < 0.5 else f" after {rng.choice(AFTER)}"
    words = {
        "what": what.words, "What": capital(what.words), "short": what.short, "who": who, "Who": capital(who),
        "long": long, "more": more,
    }  # fmt: skip
    return Example(
        domain="medical",
        key=f"medical|{what.words}",
        facts={"complaint": what.words, "duration": long.strip()},
        prompt=rng.choice(PROMPTS).format(**words),
        plain=rng.choice(PLAIN).format(**words),
        styled=note(rng, what, who if followups is FOLLOWUPS else "the patient", long, more),
        setup=rng.choice(SETUPS).format(**words),
        reply=rng.choice(REPLIES).format(**words),
        followup=rng.choice(followups).format(**words),
    )


def note(rng: Random, what: Complaint, who: str, long: str, more: str) -> str:
    """Return the SOAP note: subjective, objective, assessment, plan; one line each."""
    patient = "The patient" if who in ("a patient", "my patient", "the patient") else capital(who)
    finding = rng.choice(what.sort.findings).format(p=what.place)
    if not what.place and "{p}" in "".join(what.sort.findings):
        finding = "Vital signs normal."
    plan = f"{rng.choice(what.sort.plans)}; {rng.choice(REVIEW)} in {period(rng, ('days', 'weeks'))}."
    bare = what.words.removeprefix("a ").removeprefix("an ")
    return "\n".join((
        f"S: {patient} reports {what.words}{long}{more}.",
        f"O: {finding}",
        f"A: {capital(bare)}, {rng.choice(what.sort.assessments)}.",
        f"P: {plan}",
    ))  # fmt: skip
