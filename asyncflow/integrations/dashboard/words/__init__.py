"""The words of the pages, in each language that they are in."""

from asyncflow.integrations.dashboard.words.choosing import LANGUAGES, chosen_language, words_of

__all__ = ["LANGUAGES", "chosen_language", "words_of"]
