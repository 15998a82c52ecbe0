"""What is said in the conversations: English words in an order drawn by a seed, in messages of a given size."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.first_word.values import Said
from benchmarks.heldout.draw import make_picture

_WORDS = """
the of and to in is that for it was on are as with they be at have this from or had by but some what there we can out other were all your
when up use word how said an each she which do their time if will way about many then them would write like so these her long make thing
see him two has look more day could go come did my sound no most number who over know water than call first people may down side been now
find any new work part take get place made live where after back little only round man year came show every good me give our under name
very through just form much great think say help low line before turn cause same mean differ move right boy old too does tell sentence set
three want air well also play small end put home read hand port large spell add even land here must big high such follow act why ask men
change went light kind off need house picture try us again animal point mother world near build self earth father head stand own page
"""
WORDS = _WORDS.split()
SENTENCE = 12


class Writer:
    """Texts and pictures, always others; the same for the same seed. words: how many of them come to one token."""

    def __init__(self, seed: int, words: float, folder: Path) -> None:
        self._random = random.Random(seed)
        self._words = words
        self._folder = folder

    def text(self, tokens: int) -> str:
        """About so many tokens."""
        drawn = self._random.choices(WORDS, k=max(1, round(tokens * self._words)))
        sentences = [" ".join(drawn[at : at + SENTENCE]).capitalize() + "." for at in range(0, len(drawn), SENTENCE)]
        return " ".join(sentences)

    def picture(self) -> str:
        """The path of a picture."""
        return make_picture(self._random, self._folder, self._random.randint(1, 4)).path

    def history(self, turns: int, question: int, reply: int, *, picture: bool = False) -> tuple[Said, ...]:
        """Questions and replies in turn, of so many tokens each, with a picture in the first."""
        said: list[Said] = []
        for at in range(turns):
            said.append(Said("user", self.text(question), self.picture() if picture and at == 0 else ""))
            said.append(Said("assistant", self.text(reply)))
        return tuple(said)
