"""What a conversion has to say."""

from __future__ import annotations

from dataclasses import dataclass, field

from layerkit.errors import Problem, Problems


@dataclass
class Report:
    """What could not be converted, and what was changed on the way; the rest is converted all the same."""

    problems: Problems = field(default_factory=Problems)
    """What somebody has to mend."""
    notes: Problems = field(default_factory=Problems)
    """What somebody may want to know."""

    wrote: list[str] = field(default_factory=list)
    """The files that were written, a sentence each."""

    def lines(self) -> list[str]:
        """All of it, a sentence a line, in the order of the text; notes say that they are notes."""
        found = [(problem, "") for problem in self.problems.found] + [(note, "note: ") for note in self.notes.found]
        return list(dict.fromkeys(f"{kind}{said}" for said, kind in sorted(found, key=lambda each: _line(each[0]))))


def _line(problem: Problem) -> tuple[int, int]:
    return (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)
