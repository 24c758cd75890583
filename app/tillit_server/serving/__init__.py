"""Runs the front door under the production server: a start that fails early, a supervisor, its workers."""

from tillit_server.serving.service import serve

__all__ = ["serve"]
