"""What is measured: each column says for whom, how often, and how."""
from .column import Figure
from .cost import Entries, Hit, Miss, Quiet, Tcp
from .failing import Freezes, Slow
from .instructions import Instructions
from .memory import Memory
from .scaling import Workers
from .starting import Start

ALL = [Hit(), Miss(), Quiet(), Tcp(), Instructions(), Memory(), Freezes(), Slow(), Start(), Entries(), Workers()]
#: All figures, in the order of the table.
FIGURES: list[Figure] = [figure for column in ALL for figure in column.figures]
