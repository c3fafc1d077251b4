"""Files of rates that tests take in: some days around a weekend, as the European Central Bank writes them."""

import zipfile
from pathlib import Path

HEADING = "Date,USD,JPY,CYP,CNY,"
LINES = (
    "2026-10-30,1.1172,175.68,N/A,7.4326,",
    "2026-10-29,1.113,175.92,N/A,7.4144,",
    "2026-10-28,1.1105,N/A,N/A,7.4,",
    "1999-01-04,1.1789,133.73,0.58231,N/A,",
)


def written(folder: Path, *lines: str, name: str = "eurofxref-hist.csv", heading: str = HEADING) -> Path:
    """Write a file of these lines, or of all."""
    path = folder / name
    path.write_text("\n".join((heading, *(lines or LINES))) + "\n", encoding="utf-8")
    return path


def packed(folder: Path, **files: str) -> Path:
    """Write a ZIP of files by name, a point for the ending."""
    path = folder / "rates.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name.replace("_", "."), text)
    return path
