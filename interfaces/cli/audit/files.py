"""The options that commands with files share."""

from pathlib import Path
from typing import Annotated

import typer

Force = Annotated[bool, typer.Option("--force", help="Replace the file where it is there already.")]
ExportedFile = Annotated[Path, typer.Argument(help="A file that 'milepost audit export' wrote.", metavar="FILE")]
