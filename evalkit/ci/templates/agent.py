"""An example agent that answers from a list. Replace it with a call to your own agent."""

ANSWERS = {
    "monday": "On Monday we open at 9 am.",
    "sunday": "We are closed on Sunday.",
    "evening": "You can stay until 8 pm.",
    "keep a book": "You may keep a book for 4 weeks.",
    "renew": "Yes, you can renew it twice.",
    "late return": "A late return costs 20 cents a day.",
    "get a library card": "You get one at the front counter.",
    "lost my card": "Report it to us; a new one costs 5 euros.",
    "print": "Yes, on the first floor.",
}


def answer(question: str) -> str:
    """Answer one question."""
    asked = question.lower()
    found = (text for words, text in ANSWERS.items() if words in asked)
    return next(found, "I do not know that.")
