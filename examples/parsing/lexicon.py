"""The words of the generated language, by what they can do."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = {
    "person": _words(
        "man woman girl boy teacher doctor nurse farmer sailor painter pilot baker lawyer singer queen clown poet "
        "miner cook guard judge duck"
    ),
    "thing": _words(
        "letter cake apple box chair lamp book bottle basket carpet mirror piano bicycle wheel parcel cheese drum "
        "vase bit shot felt rose"
    ),
    "tool": _words(
        "telescope hammer knife spoon brush rope key camera needle shovel ladder razor pen lens hook saw cut"
    ),
    "feature": _words("hat beard coat scar smile scarf ribbon limp crown tattoo voice wig medal accent collar watch"),
    "place": _words("park garden kitchen forest market harbour tower cellar village river church bridge desert cave"),
}
"""Some are verbs, too: bit, shot, felt, rose, saw, cut, cook, guard, judge, duck, watch."""

VERBS = {
    "action": _words("opened painted fixed broke cleaned lifted examined pushed drew copied bit shot saw cut watch"),
    "feeling": _words("met loved feared praised envied remembered ignored trusted missed admired felt guard judge"),
    "staying": _words("slept waited sang worked danced laughed cried rested stood prayed rose cook duck"),
    "saying": _words("said knew believed thought claimed heard hoped denied"),
}
"""Actions have an object, and may have a tool; feelings an object; who stays does so somewhere; sayings a clause."""

ADJECTIVES = _words("old young tall small red quiet famous broken heavy strange happy tired clever wet")
ADVERBS = _words("quickly often yesterday slowly again secretly today gladly twice quietly")
DETERMINERS = _words("the a this every some")
LOCATIVES = _words("in near behind under beside")
