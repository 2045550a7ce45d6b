"""The legal domain: contract clauses of a kind, between two parties, sometimes with a period, sum or country."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.text.example import Example
from demo.text.names import parties, surname
from demo.text.wording import capital, money, period

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True)
class Kind:
    """A kind of clause: opening and middle sentences, the sentence for a detail, and the one without."""

    name: str
    openings: tuple[str, ...]
    middles: tuple[str, ...]
    detail: str  # what may be asked for: period, days, money or country
    detailed: str
    closing: str
    asks: str  # how a request words the detail


KINDS = (
    Kind(
        "confidentiality",
        ("{a} and {b} shall keep confidential all information that they receive from each other.",
         "{a} shall hold in confidence all information of {b}, and {b} shall do likewise for {a}."),
        ("Neither party shall disclose such information to a third party without prior written consent.",
         "The receiving party shall use such confidential information only for the purpose of this agreement."),
        "period", "This obligation shall continue for {d} after the end of this agreement.",
        "This obligation shall survive the end of this agreement.", "for {d}",
    ),
    Kind(
        "payment",
        ("{a} shall pay {b} the agreed price against a proper invoice.",
         "In return for the services, {a} shall make payment to {b} against a proper invoice."),
        ("Late payment shall bear interest at the statutory rate.",
         "{b} may suspend its services while any payment is overdue."),
        "money", "The total payment shall be {d} and shall include all taxes.",
        "Each payment shall fall due at the end of the month.", "of {d}",
    ),
    Kind(
        "termination",
        ("Either {a} or {b} may terminate this agreement by written notice to the other.",
         "{a} and {b} may each terminate this agreement in writing."),
        ("Termination shall not affect rights that have arisen before.",
         "Upon termination each party shall return the property of the other."),
        "days", "The notice of termination shall be given {d} in advance.",
        "Either party may terminate at once for a serious breach.", "with {d} notice",
    ),
    Kind(
        "liability",
        ("The liability of {a} towards {b} shall be limited to direct damage.",
         "{a} shall be liable to {b} only for damage caused by its own negligence."),
        ("Neither party shall be liable for loss of profit.",
         "This limit of liability shall not apply to wilful misconduct."),
        "money", "The total liability of either party shall not exceed {d}.",
        "The total liability of either party shall not exceed the contract price.", "up to {d}",
    ),
    Kind(
        "governing law",
        ("This agreement between {a} and {b} shall be subject to the governing law stated here.",
         "The governing law of this agreement between {a} and {b} shall be as follows."),
        ("The parties shall bring any dispute before the competent courts.",
         "Rules on conflict of laws shall not apply."),
        "country", "The law of {d} shall apply.",
        "The law of the place of performance shall apply.", "under the law of {d}",
    ),
    Kind(
        "non-compete",
        ("{a} shall not compete with the business of {b}.",
         "{a} undertakes towards {b} that it shall not compete with {b}, directly or indirectly."),
        ("The duty not to compete shall extend to affiliates.",
         "A breach shall entitle {b} to injunctive relief."),
        "period", "This duty shall last for {d} after the end of this agreement.",
        "This duty shall last as long as this agreement.", "for {d}",
    ),
    Kind(
        "force majeure",
        ("Neither {a} nor {b} shall be liable for a delay caused by force majeure.",
         "{a} and {b} shall be excused from performance during an event of force majeure."),
        ("The affected party shall inform the other without delay.",
         "The affected party shall take all reasonable steps to limit the effects."),
        "days", "If force majeure lasts longer than {d}, either party may withdraw.",
        "Duties shall resume when the force majeure ends.", "with a limit of {d}",
    ),
    Kind(
        "indemnity",
        ("{a} shall indemnify {b} against all claims of third parties.",
         "{a} shall indemnify and hold harmless {b} against any loss arising from its breach."),
        ("{b} shall notify the indemnifying party of every claim without delay.",
         "The indemnity shall include reasonable legal costs."),
        "money", "The indemnity shall be limited to {d}.",
        "The indemnity shall survive the end of this agreement.", "up to {d}",
    ),
    Kind(
        "assignment",
        ("Neither {a} nor {b} shall assign this agreement without the written consent of the other.",
         "{a} shall not assign its rights to a third party without the consent of {b}."),
        ("Any assignment in breach of this clause shall be void.",
         "An assignment to an affiliate shall be permitted upon notice."),
        "days", "Consent to an assignment shall be given or refused within {d}.",
        "Consent to an assignment shall not be unreasonably withheld.", "with consent within {d}",
    ),
    Kind(
        "intellectual property",
        ("All intellectual property created by {a} shall belong to {b}.",
         "{a} shall transfer to {b} all intellectual property in the results."),
        ("{a} shall sign all documents needed for this transfer.",
         "Existing intellectual property shall remain with its owner."),
        "days", "The transfer shall take place within {d} of completion.",
        "The transfer shall take effect upon creation.", "with transfer within {d}",
    ),
    Kind(
        "warranty",
        ("{a} warrants to {b} that the goods shall be free from defects.",
         "{a} gives {b} a warranty that the goods shall match the agreed description."),
        ("{a} shall repair or replace defective goods at its own cost.",
         "The warranty shall not cover normal wear."),
        "period", "This warranty shall last for {d} from delivery.",
        "This warranty shall begin upon delivery.", "for {d}",
    ),
    Kind(
        "delivery",
        ("{a} shall deliver the goods to {b} at the agreed place.",
         "Delivery by {a} to {b} shall be made carriage paid."),
        ("Risk shall pass to {b} upon delivery.",
         "{b} shall inspect the goods upon delivery and report defects in writing."),
        "days", "Delivery shall be completed within {d} of the order.",
        "Delivery shall be completed without undue delay.", "within {d}",
    ),
    Kind(
        "arbitration",
        ("Any dispute between {a} and {b} shall be finally settled by arbitration.",
         "{a} and {b} shall submit all disputes to arbitration."),
        ("The arbitration shall be held before a single arbitrator.",
         "The arbitral award shall bind both parties."),
        "country", "The seat of arbitration shall be in {d}.",
        "The arbitrator shall decide on the costs.", "in {d}",
    ),
    Kind(
        "insurance",
        ("{a} shall maintain liability insurance for the benefit of {b}.",
         "{a} shall take out insurance and shall show {b} proof of it on request."),
        ("The insurance shall cover damage to persons and property.",
         "{b} may terminate this agreement if the insurance lapses."),
        "money", "The insurance shall cover at least {d} per event.",
        "The insurance shall be kept for the whole term.", "covering {d}",
    ),
    Kind(
        "data protection",
        ("{a} shall process personal data of {b} only on documented instructions.",
         "{a} and {b} shall comply with data protection law and shall keep personal data secure."),
        ("Each party shall report a breach of data protection without delay.",
         "Personal data shall not be passed to third parties."),
        "days", "Personal data shall be deleted within {d} after the end of this agreement.",
        "Personal data shall be deleted at the end of this agreement.", "with deletion within {d}",
    ),
    Kind(
        "audit",
        ("{b} may audit the books of {a} during business hours.",
         "{a} shall allow {b} to audit its records."),
        ("The cost of the audit shall be borne by {b}.",
         "{a} shall give all information that the audit requires."),
        "days", "An audit shall be announced {d} in advance.",
        "An audit shall take place not more than once a year.", "with {d} notice",
    ),
    Kind(
        "renewal",
        ("This agreement between {a} and {b} shall renew automatically.",
         "{a} and {b} agree that this agreement shall be subject to renewal."),
        ("Either party may object to the renewal in writing.",
         "The terms shall remain the same after each renewal."),
        "period", "Each renewal shall be for {d}.",
        "Each renewal shall be for one year.", "for {d}",
    ),
    Kind(
        "notice",
        ("Every notice between {a} and {b} shall be given in writing.",
         "{a} shall send every notice to {b} in writing, and {b} shall do likewise."),
        ("A notice by electronic mail shall be valid if receipt is confirmed.",
         "Each party shall inform the other of a change of address."),
        "days", "A notice shall be deemed received after {d}.",
        "A notice shall be deemed received upon delivery.", "with receipt after {d}",
    ),
)  # fmt: skip

COUNTRIES = ("Norway", "France", "Germany", "Japan", "Kenya", "Brazil", "Spain", "Italy", "Canada", "Austria", "Peru")
PROMPTS = (
    "Draft {kind} clause between {a} and {b}{ask}.",
    "Write {kind} clause for {a} and {b}{ask}.",
    "Please write {kind} clause between {a} and {b}{ask}.",
    "I need {kind} clause between {a} and {b}{ask}.",
    "Can you draft {kind} clause{ask} for {a} and {b}?",
    "{a} and {b} need {kind} clause{ask}. Please draft it.",
    "{kind} clause between {a} and {b}{ask}",
)
SETUPS = (
    "{a} and {b} are starting a project together.", "{a} wants to work with {b}.", "{a} buys its parts from {b}.",
    "The two companies are {a} and {b}.", "My contract is between {a} and {b}.", "{a} has just hired {b}.",
    "This is about {a} and {b}.", "{a} is insured with {b}.", "{a} shares an office with {b}.",
    "I work for {a}, and our partner is {b}.", "We have a deal between {a} and {b}.",
)  # fmt: skip
REPLIES = (
    "Noted: {a} and {b}.", "I see, {a} and {b}.", "Good luck to {a} and {b}.", "So it is {a} and {b}.",
    "All right, {a} and {b} it is.",
)  # fmt: skip
FOLLOWUPS = (
    "Draft {kind} clause for those two{ask}.", "Write {kind} clause between them{ask}.",
    "Now draft {kind} clause for the two companies{ask}.", "Write {kind} clause for those two companies{ask}.",
    "Please write {kind} clause between these two parties{ask}.", "Can you draft {kind} clause{ask} for both of them?",
    "Draft {kind} clause between the two companies{ask}.", "Write {kind} clause for both parties{ask}.",
)  # fmt: skip
AGAIN = (
    "Now do the same for {name}{ask}.", "Now {kind} clause{ask}, please.", "Add {kind} clause{ask}.",
    "And {kind} clause for the same parties{ask}?", "Do the same for {name}{ask}.",
)  # fmt: skip
PLAIN = (
    "{a} and {b} should agree on {name} in writing.", "That is a matter for {a} and {b} and a lawyer.",
    "Ask a lawyer about {name} between {a} and {b}.", "A contract between {a} and {b} can cover {name}.",
    "It says what {a} and {b} owe each other about {name}.",
)  # fmt: skip


def make(rng: Random) -> Example:
    """Compose one request for a clause; the key joins kind and parties."""
    return _compose(rng, rng.choice(KINDS), *parties(rng))


def again(rng: Random, earlier: Example) -> Example:
    """Another kind of clause for the parties of an earlier example, asked for as `the same for ...`."""
    kind = rng.choice([kind for kind in KINDS if kind.name != earlier.facts["kind"]])
    return _compose(rng, kind, earlier.facts["a"], earlier.facts["b"], AGAIN)


def _compose(rng: Random, kind: Kind, a: str, b: str, followups: tuple[str, ...] = FOLLOWUPS) -> Example:
    detail = _detail(rng, kind.detail) if rng.random() < 0.6 else ""
    article = "an" if kind.name[0] in "aeiou" else "a"
    asked = "non-disclosure" if kind.name == "confidentiality" and rng.random() < 0.2 else kind.name
    words = {
        "a": a, "b": b, "name": kind.name, "kind": f"{article} {asked}",
        "ask": f" {kind.asks.format(d=detail)}" if detail else "",
    }  # fmt: skip
    return Example(
        domain="legal",
        key=f"legal|{kind.name}|{a}|{b}",
        facts={"kind": kind.name, "a": a, "b": b, "detail": detail},
        prompt=capital(rng.choice(PROMPTS).format(**words)),
        plain=capital(rng.choice(PLAIN).format(**words)),
        styled=clause(rng, kind, a, b, detail),
        setup=capital(rng.choice(SETUPS).format(**words)),
        reply=rng.choice(REPLIES).format(**words),
        followup=rng.choice(followups).format(**words),
    )


def clause(rng: Random, kind: Kind, a: str, b: str, detail: str) -> str:
    """Return the clause itself: a heading and three sentences."""
    last = kind.detailed.format(d=detail) if detail else kind.closing
    sentences = (rng.choice(kind.openings), rng.choice(kind.middles), last)
    return f"**{capital(kind.name)}.** " + " ".join(capital(text.format(a=a, b=b)) for text in sentences)


def _detail(rng: Random, sort: str) -> str:
    if sort == "money":
        return money(rng)
    if sort == "country":
        return rng.choice(COUNTRIES) if rng.random() < 0.7 else surname(rng)
    return period(rng, ("days", "weeks") if sort == "days" else ("months", "years"))
