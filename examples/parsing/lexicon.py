"""The words of the generated language, by what they can do."""

from __future__ import annotations

NOUNS = {
    "person": (
        "man woman girl boy teacher doctor nurse farmer sailor painter pilot baker lawyer singer queen clown poet miner "
        "cook guard judge duck"
    ).split(),
    "thing": (
        "letter cake apple box chair lamp book bottle basket carpet mirror piano bicycle wheel parcel cheese drum vase "
        "bit shot felt rose"
    ).split(),
    "tool": "telescope hammer knife spoon brush rope key camera needle shovel ladder razor pen lens hook saw cut".split(),
    "feature": "hat beard coat scar smile scarf ribbon limp crown tattoo voice wig medal accent collar watch".split(),
    "place": "park garden kitchen forest market harbour tower cellar village river church bridge desert cave".split(),
}
"""Some are verbs, too: bit, shot, felt, rose, saw, cut, cook, guard, judge, duck, watch."""

VERBS = {
    "action": "opened painted fixed broke cleaned lifted examined pushed drew copied bit shot saw cut watch".split(),
    "feeling": "met loved feared praised envied remembered ignored trusted missed admired felt guard judge".split(),
    "staying": "slept waited sang worked danced laughed cried rested stood prayed rose cook duck".split(),
    "saying": "said knew believed thought claimed heard hoped denied".split(),
}
"""Actions have an object, and may have a tool; feelings an object; who stays does so somewhere; sayings have a clause."""

ADJECTIVES = "old young tall small red quiet famous broken heavy strange happy tired clever wet".split()
ADVERBS = "quickly often yesterday slowly again secretly today gladly twice quietly".split()
DETERMINERS = "the a this every some".split()
LOCATIVES = "in near behind under beside".split()
