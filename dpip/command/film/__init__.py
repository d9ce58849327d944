"""The film that ``dpip demo`` filters: a day passes over a valley while a ball rolls through it."""

from dpip.command.film.scene import HEIGHT, WIDTH, Scene

__all__ = ["HEIGHT", "WIDTH", "Scene"]
