"""The sentences of the diagnosis, in English; of each the form is known, so that other languages can say the same."""

from asyncflow.scheduler.diagnosis.words.sentence import Sentence, say, say_of
from asyncflow.scheduler.diagnosis.words.telling import LANGUAGES, language_of, told_in

__all__ = ["LANGUAGES", "Sentence", "language_of", "say", "say_of", "told_in"]
