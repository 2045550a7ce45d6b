"""Well-known small functions that a newcomer is likely to ask for; always in training, never among the checks."""

from __future__ import annotations

CLASSICS = {
    "the factorial of a number": ("n", "result = 1\nfor i in range(2, n + 1):\n    result *= i\nreturn result"),
    "whether a number is prime": ("n", "return n > 1 and all(n % d for d in range(2, n))"),
    "whether a word is a palindrome": ("word", "return word == word[::-1]"),
    "the number of vowels in a text": ("text", "return sum(letter in 'aeiou' for letter in text.lower())"),
    "a text in reverse": ("text", "return text[::-1]"),
    "the larger of two numbers": ("a, b", "return a if a > b else b"),
    "the sum of two numbers": ("a, b", "return a + b"),
    "the product of two numbers": ("a, b", "return a * b"),
    "the difference of two numbers": ("a, b", "return a - b"),
    "the greatest common divisor of two numbers": ("a, b", "while b:\n    a, b = b, a % b\nreturn a"),
    "the first n Fibonacci numbers": (
        "n",
        "result = []\na, b = 0, 1\nfor _ in range(n):\n    result.append(a)\n    a, b = b, a + b\nreturn result",
    ),
    "degrees Celsius as Fahrenheit": ("celsius", "return celsius * 9 / 5 + 32"),
    "the square of a number": ("n", "return n * n"),
    "whether a number is even": ("n", "return n % 2 == 0"),
    "the area of a circle": ("radius", "return 3.14159 * radius * radius"),
    "a greeting for a name": ("name", "return 'Hello, ' + name + '!'"),
    "how often a letter occurs in a text": ("text, letter", "return text.count(letter)"),
    "the words of a text": ("text", "return text.split()"),
}
WISHES = {
    "the factorial of a number": ("compute a factorial", "compute the factorial of n"),
    "whether a number is prime": ("check if a number is prime", "test for prime numbers"),
    "whether a word is a palindrome": ("check if a word is a palindrome", "check for a palindrome"),
    "the number of vowels in a text": ("count the vowels in a text", "count vowels"),
    "a text in reverse": ("reverse a string", "reverse a text"),
    "the larger of two numbers": ("find the larger of two numbers", "return the maximum of two numbers"),
    "the sum of two numbers": ("add two numbers", "sum two numbers"),
    "the product of two numbers": ("multiply two numbers",),
    "the difference of two numbers": ("subtract two numbers",),
    "the greatest common divisor of two numbers": ("find the greatest common divisor", "compute the gcd"),
    "the first n Fibonacci numbers": ("list Fibonacci numbers", "compute the Fibonacci numbers"),
    "degrees Celsius as Fahrenheit": ("convert Celsius to Fahrenheit",),
    "the square of a number": ("square a number",),
    "whether a number is even": ("check if a number is even",),
    "the area of a circle": ("compute the area of a circle",),
    "a greeting for a name": ("greet somebody by name", "say hello"),
    "how often a letter occurs in a text": ("count a letter in a text",),
    "the words of a text": ("split a text into words",),
}
WISH_PROMPTS = (
    "Write a Python function{named} to {what}.",
    "Write a function{named} to {what}.",
    "Can you write a function{named} to {what}?",
    "I want to {what}. Write a Python function{named}.",
)
CLASSIC_PROMPTS = (
    "Write a Python function{named} that returns {what}.",
    "Write a function{named} that returns {what}.",
    "I need a function{named} for {what}.",
    "Can you write a Python function{named} that returns {what}?",
)
