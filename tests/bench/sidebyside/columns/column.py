"""What columns have in common."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure of a column; less is better unless it says otherwise."""
    key: str
    title: str
    unit: str = ""
    digits: int = 2
    #: Whether it is CPU time, which is also told as a multiple of what `echo` takes.
    is_cpu: bool = False
    #: The figure of `echo` that CPU time is a multiple of.
    echo: str = "hit"
    #: Whether it holds Onward against itself only.
    alone: bool = False


class Column:
    """`measure(bench, peer)` returns a value for each of `figures`, or raises `NotMeasured`."""
    key: str
    figures: list
    #: Taken in the first round only, since it hardly depends on what else the machine does, or takes long.
    once = False

    def is_for(self, name):
        return name != "echo"

    def measure(self, bench, peer):
        raise NotImplementedError
