"""The registers as files: HPR, organisations, membership, each a TOML document in one directory.

Real registers come behind the same ports (``tillit.attestation.registers``).
"""

import tomllib
from pathlib import Path

from tillit.attestation.registers import Registers, registers_from

_FILES = ("hpr", "organisations", "membership")


class RegisterFileError(ValueError):
    """A register file cannot be used; the message names it, never what is in it."""


def load_registers(directory: Path) -> Registers:
    """The three registers in ``directory``. Raises ``RegisterFileError``."""
    documents = {}
    for name in _FILES:
        path = directory / f"{name}.toml"
        try:
            documents[name] = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RegisterFileError(
                f"registers/{path.name}: cannot be read ({type(error).__name__})"
            ) from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RegisterFileError(f"registers/{path.name}: not TOML") from error
    try:
        return registers_from(**documents)
    except (KeyError, TypeError, AttributeError) as error:
        raise RegisterFileError(f"registers: a member is missing ({error})") from error
