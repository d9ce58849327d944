"""The film that ``dpip demo`` filters: a day passes over a valley while a ball rolls through it."""

WIDTH, HEIGHT = 1280, 720
