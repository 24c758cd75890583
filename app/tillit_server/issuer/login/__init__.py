"""From a pushed request to a code: what a browser goes through, and how its session ends. No HTTP."""
