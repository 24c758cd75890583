"""What importing the library loads, and what it does not."""

import subprocess
import sys

HEAVY = {
    "flask",
    "werkzeug",
    "redis",
    "sqlalchemy",
    "sqlite3",
    "httpx",
    "authlib",
    "granian",
    "tillit_server",
    "asyncio",
}


def test_importing_the_library_loads_no_framework_and_no_store():
    """`import tillit.verifier, tillit.client` loads neither web framework, nor database, nor HTTP library."""
    code = "import sys, tillit.verifier, tillit.client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}

    assert "tillit" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & HEAVY
