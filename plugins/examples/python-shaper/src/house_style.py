"""What every conversation begins with, in the language that the operator chose."""

from wit_world.imports.types import Input_Chat, Message

STYLES = {
    "de": "Antworte auf Deutsch, in einfachen Worten und kurzen Sätzen. Sag es, wenn du etwas nicht weißt.",
    "en": "Answer in English, in plain words and short sentences. Say so where you do not know something.",
    "es": "Responde en español, con palabras sencillas y frases cortas. Dilo cuando no sepas algo.",
    "fr": "Réponds en français, avec des mots simples et des phrases courtes. Dis-le quand tu ne sais pas quelque chose.",
}


def require(prompt, language):
    """Puts the style in front of a conversation's own instructions. Plain texts and token ids have no roles and pass."""
    if not isinstance(prompt, Input_Chat):
        return
    style = STYLES[language]
    messages = prompt.value.messages
    if messages[0].role in ("system", "developer"):
        # One message: not every model's template takes two.
        messages[0].content = f"{style}\n\n{messages[0].content or ''}".rstrip()
    else:
        messages.insert(0, Message("system", style, None, None, [], None))
