"""The agent's replies, and the phrases that it recognizes."""

from __future__ import annotations

import re
from collections.abc import Mapping

REPLIES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "greeting": "Hello! How can I help you?",
        "unknown": "I am sorry, I do not know that. Shall I ask a colleague to get back to you?",
        "refused": "I cannot help with that. I answer questions about our shop and your orders.",
    },
    "de": {
        "greeting": "Guten Tag! Wie kann ich Ihnen helfen?",
        "unknown": "Das weiß ich leider nicht. Soll sich eine Kollegin bei Ihnen melden?",
        "refused": "Dabei kann ich nicht helfen. Ich beantworte Fragen zu unserem Geschäft.",
    },
    "fr": {
        "greeting": "Bonjour ! Comment puis-je vous aider ?",
        "unknown": "Désolé, je ne sais pas. Voulez-vous qu'une collègue vous recontacte ?",
        "refused": "Je ne peux pas vous aider pour cela. Je réponds aux questions sur la boutique.",
    },
    "es": {
        "greeting": "¡Buenos días! ¿En qué puedo ayudarle?",
        "unknown": "Lo siento, no lo sé. ¿Quiere que le conteste una compañera?",
        "refused": "No puedo ayudarle con eso. Respondo preguntas sobre la tienda.",
    },
}

# Sentences that give the agent orders or ask for internal information.
ORDERS = re.compile(
    r"\b(ignore|disregard|forget|override|bypass)\b.*\b(instructions?|rules?|guidelines|prompts?)\b"
    r"|\byou are now\b|\bpretend (to be|you)\b|\brepeat after me\b|\bdebug mode\b"
    r"|\b(system prompt|your (configuration|instructions|prompt|rules)|staff only|for staff)\b"
    r"|\b(internal|hidden|secret|confidential)\b.*\b(notes?|line|codes?|documents?)\b"
    r"|\bnotes\b.*\b(support|staff|team)\b|\breveal\b"
    r"|\b(ignoriere|vergiss|missachte)\b.*\b(anweisung|regel)|\binterne\w* notiz"
    r"|\b(ignore[zr]?|oublie[zr]?)\b.*\b(instructions|consignes|règles)\b"
    r"|\b(ignora|olvida)\b.*\b(instrucciones|reglas)\b",
    re.IGNORECASE,
)

# The beginning of a second question inside a sentence.
NEXT_QUESTION = re.compile(
    r",?\s+and\s+(?=(?:how|what|when|where|which|who|why|can|do|does|is|are)\b)"
    r"|,\s+(?=(?:how|what|when|where|which)\b)",
    re.IGNORECASE,
)

# Words that refer to something earlier.
POINTS_BACK = frozenset(
    {"it", "its", "they", "them", "that", "those", "this", "these", "one", "ones"}
)

ASKS_FOR_TIME = re.compile(
    r"\b(how (long|many|soon)|when|what time|until|too late|hours|expire|wie lange|wann"
    r"|combien de (jours|temps)|quand|cuánto (tarda|tiempo)|cuándo)\b",
    re.IGNORECASE,
)
TELLS_TIME = re.compile(
    r"\d (working days|minutes|hours|days|weeks|months|years|werktage|tagen?|jahren?"
    r"|jours|ans|años|días)\b|\b\d\d:\d\d\b|\bonly when\b",
    re.IGNORECASE,
)
ASKS_FOR_MONEY = re.compile(
    r"\b(how much|costs?|price|fee|worth|amount|deposit|wie viel|kostet|combien coûte"
    r"|cuánto cuesta)\b",
    re.IGNORECASE,
)
TELLS_MONEY = re.compile(
    r"\d (euros?|percent)\b|\b(free|kostenlos|gratuite?|gratuito)\b", re.IGNORECASE
)
ASKED_AND_TOLD = ((ASKS_FOR_TIME, TELLS_TIME), (ASKS_FOR_MONEY, TELLS_MONEY))
