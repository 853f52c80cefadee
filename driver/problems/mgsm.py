"""Read a folder of MGSM's TSV files (Shi et al. 2022): `mgsm_<language>.tsv`, one parallel problem in each line.

A line is question, tab, answer, without header or quoting. Line n is the same problem in every file, and the English
question of a problem is line n of `mgsm_en.tsv`.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from contracts.errors import BadInput
from driver.problems.tables import LineFile, Row

_THOUSANDS = re.compile(r"(-?\d{1,3})((?:,\d{3})+)(\.\d+)?")


class MgsmTable:
    """Hold the rows of every language's file, one language after the other; item ids are `mgsm-<line>`."""

    def __init__(self, folder: Path, *, languages: Collection[str] = ()) -> None:
        """Read the files of these languages, or all files where the folder has none of them.

        Raises:
            BadInput: the English file is missing, or the files have different numbers of lines.
        """
        files = {path.stem.removeprefix("mgsm_"): LineFile(path) for path in sorted(folder.glob("mgsm_*.tsv"))}
        if "en" not in files:
            raise BadInput(
                f"{folder} has no file mgsm_en.tsv, and every problem needs its English question; add the file",
                key="mgsm_en.tsv",
            )
        self._english = files["en"]
        files = {code: file for code, file in files.items() if code in languages} or files
        for file in files.values():
            if len(file) != len(self._english):
                raise BadInput(
                    f"{file.path} has {len(file)} problems and mgsm_en.tsv {len(self._english)}: line n must be the "
                    "same problem in every language",
                    key=file.path.name,
                )
        self.columns = ("item_id", "language", "question", "question_en", "answer")
        self._languages = list(files)
        self._files = list(files.values())

    def __len__(self) -> int:
        return len(self._files) * len(self._english)

    def rows(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def row(self, number: int) -> Row:
        file, line = self._locate(number)
        question, answer = self._parse(self._files[file], line)
        question_en, answer_en = self._parse(self._english, line)
        if answer != answer_en:
            raise BadInput(
                f"{self.where(number)}: the answer is {answer!r} and in mgsm_en.tsv {answer_en!r}: line n must be the "
                "same problem in every language",
                key="answer",
            )
        return {
            "item_id": f"mgsm-{line + 1}",
            "language": self._languages[file],
            "question": question,
            "question_en": question_en,
            "answer": answer,
        }

    def where(self, number: int) -> str:
        file, line = self._locate(number)
        return self._files[file].where(line)

    def _locate(self, number: int) -> tuple[int, int]:
        return divmod(number, len(self._english))

    @staticmethod
    def _parse(file: LineFile, line: int) -> tuple[str, str]:
        columns = file.line(line).split("\t")
        if len(columns) != 2:
            raise BadInput(
                f"{file.where(line)}: found {len(columns)} columns; expected question, tab, answer", key=file.path.name
            )
        question, answer = columns
        return question, without_thousands(answer.strip())


def without_thousands(answer: str) -> str:
    """Return an answer without thousands commas: MGSM writes a few with English ones in every language (2,125)."""
    match = _THOUSANDS.fullmatch(answer)
    return answer if match is None else match[1] + match[2].replace(",", "") + (match[3] or "")
