"""What makes a line of a file unusable, told once and kept as a refusal. Never leaves the readers."""

from tongbao.clearing.schema.lines import Refusal

VALUE_CHARS_MAX = 80


class Unfit(Exception):
    """A value that cannot be taken: its stable code, why, in which column, and the value itself."""

    def __init__(self, code: str, detail: str, column: str = "", value: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.column = column
        self.value = value

    def refusal(self, number: int) -> Refusal:
        """Return why the line of this number was not taken."""
        return refused(number, self.code, self.detail, self.column, self.value)


def refused(number: int, code: str, detail: str, column: str = "", value: str = "") -> Refusal:
    """Return a refusal; what cannot be printed or stored of the value stands as a question mark."""
    shown = value[:VALUE_CHARS_MAX]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else "?" for each in shown)
    return Refusal(number=number, code=code, detail=detail, column=column[:VALUE_CHARS_MAX], value=shown)


def truncated(number: int, detail: str) -> Refusal:
    """Return the last word on a file that stops in the middle."""
    return refused(number, "file_truncated", detail)
