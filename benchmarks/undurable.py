"""`tillit` with an embedded store that waits for no disk: to show what durability costs, and for nothing else.

No setting does this, and the package that is installed has no such module.
"""

import sqlite3
from functools import partial
from typing import Any


class _Careless(sqlite3.Connection):
    def execute(self, sql: str, /, *values: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *values)


sqlite3.connect = partial(sqlite3.connect, factory=_Careless)

if __name__ == "__main__":
    from tillit_server.cli import main

    main()
